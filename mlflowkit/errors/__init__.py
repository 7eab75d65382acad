"""Every error that mlflowkit raises on purpose. Each says what is wrong and what to do next.

    MlflowkitError
    ├── UserError           you can mend it; printed without a traceback, never retried
    │   ├── GraphError          a DAG that cannot be drawn
    │   ├── ParameterError      a parameter that does not fit
    │   ├── TemplateError       a template in a task's arguments that cannot be rendered
    │   ├── NotebookError       a notebook that cannot be run
    │   ├── ValueError_         a value or a name that cannot travel between processes
    │   ├── XComError           a value that is not there
    │   ├── ConnectionError_    an outside system that cannot be reached or entered
    │   ├── DataError           images, weights or models that are not what they should be
    │   ├── DeployError         a model that could not be put to work
    │   ├── HomeError           a home folder that cannot be used
    │   └── MissingExtra        a library that an optional part needs
    ├── RunFailed           a DAG run ended without success
    ├── TaskFailed          a task's own code failed; retried as its policy says
    ├── TaskSkipped         a task that asks to be skipped; no failure
    ├── TaskRescheduled     a task that gives its place back and goes on later; no failure
    └── InternalError       ours to mend: please report it

A foreign error is translated where it comes in, with `raise … from exc`.
The full tree, with codes and messages, is docs/reference/errors.md (generated).
"""

from __future__ import annotations

from mlflowkit.errors.base import MlflowkitError as MlflowkitError
from mlflowkit.errors.base import UserError as UserError
from mlflowkit.errors.base import a as a
from mlflowkit.errors.base import listing as listing
from mlflowkit.errors.base import suggest as suggest
from mlflowkit.errors.cells import AmbiguousName as AmbiguousName
from mlflowkit.errors.cells import BadMagic as BadMagic
from mlflowkit.errors.cells import CellError as CellError
from mlflowkit.errors.cells import CellSyntax as CellSyntax
from mlflowkit.errors.cells import ChangedInPlace as ChangedInPlace
from mlflowkit.errors.cells import CodeDoesNotLoad as CodeDoesNotLoad
from mlflowkit.errors.cells import DefinedInTask as DefinedInTask
from mlflowkit.errors.cells import HelperReadsTask as HelperReadsTask
from mlflowkit.errors.cells import NoTaskCells as NoTaskCells
from mlflowkit.errors.cells import NotDefined as NotDefined
from mlflowkit.errors.cells import NotForTaskCells as NotForTaskCells
from mlflowkit.errors.cells import UnknownTaskCell as UnknownTaskCell
from mlflowkit.errors.connections import BadFernetKey as BadFernetKey
from mlflowkit.errors.connections import BadPool as BadPool
from mlflowkit.errors.connections import BadSecretName as BadSecretName
from mlflowkit.errors.connections import BadSecretsFile as BadSecretsFile
from mlflowkit.errors.connections import ConnectionError_ as ConnectionError_
from mlflowkit.errors.connections import ConnectionExists as ConnectionExists
from mlflowkit.errors.connections import ConnectionMissing as ConnectionMissing
from mlflowkit.errors.connections import InvalidConnection as InvalidConnection
from mlflowkit.errors.connections import InvalidVariable as InvalidVariable
from mlflowkit.errors.connections import PoolMissing as PoolMissing
from mlflowkit.errors.connections import SecretsBackendFailed as SecretsBackendFailed
from mlflowkit.errors.connections import SecretTooShort as SecretTooShort
from mlflowkit.errors.connections import UnknownSecretsBackend as UnknownSecretsBackend
from mlflowkit.errors.connections import VariableMissing as VariableMissing
from mlflowkit.errors.connections import WrongFernetKey as WrongFernetKey
from mlflowkit.errors.data import BadImages as BadImages
from mlflowkit.errors.data import BrokenImage as BrokenImage
from mlflowkit.errors.data import ClassTooSmall as ClassTooSmall
from mlflowkit.errors.data import CorruptModel as CorruptModel
from mlflowkit.errors.data import CorruptWeights as CorruptWeights
from mlflowkit.errors.data import DataError as DataError
from mlflowkit.errors.data import ImageGone as ImageGone
from mlflowkit.errors.data import ModelMissing as ModelMissing
from mlflowkit.errors.data import NoImages as NoImages
from mlflowkit.errors.data import NotADataset as NotADataset
from mlflowkit.errors.data import OneClassOnly as OneClassOnly
from mlflowkit.errors.data import OutputInUse as OutputInUse
from mlflowkit.errors.data import TooFewImages as TooFewImages
from mlflowkit.errors.data import UnknownArch as UnknownArch
from mlflowkit.errors.data import UnknownModelFormat as UnknownModelFormat
from mlflowkit.errors.data import UnsafeWeights as UnsafeWeights
from mlflowkit.errors.data import WeightsDoNotFit as WeightsDoNotFit
from mlflowkit.errors.data import WeightsNotFound as WeightsNotFound
from mlflowkit.errors.data import WeightsUnavailable as WeightsUnavailable
from mlflowkit.errors.data import WrongFractions as WrongFractions
from mlflowkit.errors.deploying import BadServiceName as BadServiceName
from mlflowkit.errors.deploying import ClusterForbidden as ClusterForbidden
from mlflowkit.errors.deploying import ClusterRefused as ClusterRefused
from mlflowkit.errors.deploying import ClusterUnreachable as ClusterUnreachable
from mlflowkit.errors.deploying import DemoOnLoopback as DemoOnLoopback
from mlflowkit.errors.deploying import DeployError as DeployError
from mlflowkit.errors.deploying import LocalModelInCluster as LocalModelInCluster
from mlflowkit.errors.deploying import NoCluster as NoCluster
from mlflowkit.errors.deploying import NoTestImage as NoTestImage
from mlflowkit.errors.deploying import PodNameTaken as PodNameTaken
from mlflowkit.errors.deploying import PodTemplateBroken as PodTemplateBroken
from mlflowkit.errors.deploying import PortInUse as PortInUse
from mlflowkit.errors.deploying import PredictionFailed as PredictionFailed
from mlflowkit.errors.deploying import RolloutFailed as RolloutFailed
from mlflowkit.errors.deploying import ServerDied as ServerDied
from mlflowkit.errors.deploying import ServerNotReady as ServerNotReady
from mlflowkit.errors.deploying import ServiceNotStarted as ServiceNotStarted
from mlflowkit.errors.deploying import TooManyPixels as TooManyPixels
from mlflowkit.errors.deploying import UnknownStyle as UnknownStyle
from mlflowkit.errors.deploying import UnknownTarget as UnknownTarget
from mlflowkit.errors.extras import MissingExtra as MissingExtra
from mlflowkit.errors.graph import AirflowFeatureMissing as AirflowFeatureMissing
from mlflowkit.errors.graph import BadName as BadName
from mlflowkit.errors.graph import BadOption as BadOption
from mlflowkit.errors.graph import BranchNotBelow as BranchNotBelow
from mlflowkit.errors.graph import CannotExpand as CannotExpand
from mlflowkit.errors.graph import CycleFound as CycleFound
from mlflowkit.errors.graph import DifferentDags as DifferentDags
from mlflowkit.errors.graph import DuplicateGroupId as DuplicateGroupId
from mlflowkit.errors.graph import DuplicateTaskId as DuplicateTaskId
from mlflowkit.errors.graph import GraphError as GraphError
from mlflowkit.errors.graph import NoDagOpen as NoDagOpen
from mlflowkit.errors.graph import NoSuchMember as NoSuchMember
from mlflowkit.errors.graph import NotAnOperator as NotAnOperator
from mlflowkit.errors.graph import NotATask as NotATask
from mlflowkit.errors.graph import NotInTask as NotInTask
from mlflowkit.errors.graph import NotYetKnown as NotYetKnown
from mlflowkit.errors.graph import OptionNotHere as OptionNotHere
from mlflowkit.errors.graph import RuntimeMissing as RuntimeMissing
from mlflowkit.errors.graph import UnknownOption as UnknownOption
from mlflowkit.errors.graph import UnknownUpstream as UnknownUpstream
from mlflowkit.errors.homes import BadSetting as BadSetting
from mlflowkit.errors.homes import BadSettingsFile as BadSettingsFile
from mlflowkit.errors.homes import CannotClean as CannotClean
from mlflowkit.errors.homes import HomeBusy as HomeBusy
from mlflowkit.errors.homes import HomeError as HomeError
from mlflowkit.errors.homes import HomeOnNetwork as HomeOnNetwork
from mlflowkit.errors.homes import HomeUnwritable as HomeUnwritable
from mlflowkit.errors.homes import NotCancelled as NotCancelled
from mlflowkit.errors.homes import NotCleared as NotCleared
from mlflowkit.errors.homes import NotMarked as NotMarked
from mlflowkit.errors.homes import RunCleaned as RunCleaned
from mlflowkit.errors.homes import RunHasEnded as RunHasEnded
from mlflowkit.errors.homes import RunNotFound as RunNotFound
from mlflowkit.errors.homes import RunStillRunning as RunStillRunning
from mlflowkit.errors.homes import ShapeChanged as ShapeChanged
from mlflowkit.errors.homes import StoreDamaged as StoreDamaged
from mlflowkit.errors.homes import StoreOfOtherVersion as StoreOfOtherVersion
from mlflowkit.errors.homes import TaskNotInRun as TaskNotInRun
from mlflowkit.errors.internal import BadViewRequest as BadViewRequest
from mlflowkit.errors.internal import EngineGone as EngineGone
from mlflowkit.errors.internal import EngineRefused as EngineRefused
from mlflowkit.errors.internal import IllegalEvent as IllegalEvent
from mlflowkit.errors.internal import InternalError as InternalError
from mlflowkit.errors.internal import LeaseLost as LeaseLost
from mlflowkit.errors.internal import TimetableElsewhere as TimetableElsewhere
from mlflowkit.errors.notebooks import BadParameterName as BadParameterName
from mlflowkit.errors.notebooks import KernelDidNotStart as KernelDidNotStart
from mlflowkit.errors.notebooks import KernelNotInstalled as KernelNotInstalled
from mlflowkit.errors.notebooks import KernelWithoutMlflowkit as KernelWithoutMlflowkit
from mlflowkit.errors.notebooks import NeverAssigned as NeverAssigned
from mlflowkit.errors.notebooks import NoHeldKernel as NoHeldKernel
from mlflowkit.errors.notebooks import NoKernel as NoKernel
from mlflowkit.errors.notebooks import NoParametersCell as NoParametersCell
from mlflowkit.errors.notebooks import NoSections as NoSections
from mlflowkit.errors.notebooks import NotebookError as NotebookError
from mlflowkit.errors.notebooks import NotebookInvalid as NotebookInvalid
from mlflowkit.errors.notebooks import NotebookMissing as NotebookMissing
from mlflowkit.errors.notebooks import NotInNotebookTask as NotInNotebookTask
from mlflowkit.errors.notebooks import NotInPython as NotInPython
from mlflowkit.errors.notebooks import ReturnMissing as ReturnMissing
from mlflowkit.errors.notebooks import UnknownInput as UnknownInput
from mlflowkit.errors.parameters import BadRule as BadRule
from mlflowkit.errors.parameters import BadSimulation as BadSimulation
from mlflowkit.errors.parameters import MissingParameter as MissingParameter
from mlflowkit.errors.parameters import ParameterError as ParameterError
from mlflowkit.errors.parameters import RuleBroken as RuleBroken
from mlflowkit.errors.parameters import ScheduledWithoutDefault as ScheduledWithoutDefault
from mlflowkit.errors.parameters import TooManyArguments as TooManyArguments
from mlflowkit.errors.parameters import UnknownParameter as UnknownParameter
from mlflowkit.errors.parameters import WrongEdge as WrongEdge
from mlflowkit.errors.parameters import WrongType as WrongType
from mlflowkit.errors.pipelines import BadIgnoreFile as BadIgnoreFile
from mlflowkit.errors.pipelines import DagCellMagic as DagCellMagic
from mlflowkit.errors.pipelines import DagIdTwice as DagIdTwice
from mlflowkit.errors.pipelines import DagNotInFile as DagNotInFile
from mlflowkit.errors.pipelines import DuplicateDagId as DuplicateDagId
from mlflowkit.errors.pipelines import NoDagInFile as NoDagInFile
from mlflowkit.errors.pipelines import PipelineBroken as PipelineBroken
from mlflowkit.errors.pipelines import PipelineCrashed as PipelineCrashed
from mlflowkit.errors.pipelines import PipelineMissing as PipelineMissing
from mlflowkit.errors.pipelines import PipelineTooSlow as PipelineTooSlow
from mlflowkit.errors.pipelines import RunWhileLoading as RunWhileLoading
from mlflowkit.errors.pipelines import SeveralDags as SeveralDags
from mlflowkit.errors.pipelines import UnknownRule as UnknownRule
from mlflowkit.errors.pods import ClusterOutage as ClusterOutage
from mlflowkit.errors.pods import JobFailed as JobFailed
from mlflowkit.errors.pods import PodFailed as PodFailed
from mlflowkit.errors.pods import PodGone as PodGone
from mlflowkit.errors.pods import PodNotStarted as PodNotStarted
from mlflowkit.errors.pods import PodXComUnreadable as PodXComUnreadable
from mlflowkit.errors.runs import CellFailed as CellFailed
from mlflowkit.errors.runs import CheckFailed as CheckFailed
from mlflowkit.errors.runs import CommandFailed as CommandFailed
from mlflowkit.errors.runs import DatabaseUnreachable as DatabaseUnreachable
from mlflowkit.errors.runs import ExecutionTimedOut as ExecutionTimedOut
from mlflowkit.errors.runs import NotebookStopped as NotebookStopped
from mlflowkit.errors.runs import NothingTransformed as NothingTransformed
from mlflowkit.errors.runs import OutOfDeviceMemory as OutOfDeviceMemory
from mlflowkit.errors.runs import RunFailed as RunFailed
from mlflowkit.errors.runs import RunInterrupted as RunInterrupted
from mlflowkit.errors.runs import SqlFailed as SqlFailed
from mlflowkit.errors.runs import TaskFailed as TaskFailed
from mlflowkit.errors.runs import TaskFailedForGood as TaskFailedForGood
from mlflowkit.errors.runs import TaskRescheduled as TaskRescheduled
from mlflowkit.errors.runs import TaskSkipped as TaskSkipped
from mlflowkit.errors.runs import TrainingDiverged as TrainingDiverged
from mlflowkit.errors.runs import TransformFailed as TransformFailed
from mlflowkit.errors.schedules import BadBackfill as BadBackfill
from mlflowkit.errors.schedules import BadRunId as BadRunId
from mlflowkit.errors.schedules import DagNotPublished as DagNotPublished
from mlflowkit.errors.schedules import FolderNotLoaded as FolderNotLoaded
from mlflowkit.errors.schedules import PublishedElsewhere as PublishedElsewhere
from mlflowkit.errors.schedules import RunExists as RunExists
from mlflowkit.errors.schedules import SchedulerAlive as SchedulerAlive
from mlflowkit.errors.sensors import DagIsPaused as DagIsPaused
from mlflowkit.errors.sensors import DagRunAlreadyExists as DagRunAlreadyExists
from mlflowkit.errors.sensors import DagToTriggerMissing as DagToTriggerMissing
from mlflowkit.errors.sensors import ExternalTaskFailed as ExternalTaskFailed
from mlflowkit.errors.sensors import ExternalTaskMissing as ExternalTaskMissing
from mlflowkit.errors.sensors import NoRunDate as NoRunDate
from mlflowkit.errors.sensors import SensorFailed as SensorFailed
from mlflowkit.errors.sensors import SensorTimeout as SensorTimeout
from mlflowkit.errors.sensors import TriggeredRunFailed as TriggeredRunFailed
from mlflowkit.errors.sql import BadSql as BadSql
from mlflowkit.errors.sql import DatabaseRefused as DatabaseRefused
from mlflowkit.errors.sql import NoSqlDialect as NoSqlDialect
from mlflowkit.errors.sql import NotADatabase as NotADatabase
from mlflowkit.errors.storage import BadS3Place as BadS3Place
from mlflowkit.errors.storage import BucketMissing as BucketMissing
from mlflowkit.errors.storage import CredentialsMissing as CredentialsMissing
from mlflowkit.errors.storage import CredentialsRefused as CredentialsRefused
from mlflowkit.errors.storage import EndpointUnreachable as EndpointUnreachable
from mlflowkit.errors.storage import InvalidS3Url as InvalidS3Url
from mlflowkit.errors.storage import KeyExists as KeyExists
from mlflowkit.errors.storage import KeyMissing as KeyMissing
from mlflowkit.errors.storage import S3SelectGone as S3SelectGone
from mlflowkit.errors.storage import S3ServerFailed as S3ServerFailed
from mlflowkit.errors.storage import StorageFailed as StorageFailed
from mlflowkit.errors.templates import BadTemplate as BadTemplate
from mlflowkit.errors.templates import ForbiddenInTemplate as ForbiddenInTemplate
from mlflowkit.errors.templates import NoAirflowConf as NoAirflowConf
from mlflowkit.errors.templates import TemplateError as TemplateError
from mlflowkit.errors.templates import TemplateFileMissing as TemplateFileMissing
from mlflowkit.errors.templates import UndefinedInTemplate as UndefinedInTemplate
from mlflowkit.errors.timing import BadAsset as BadAsset
from mlflowkit.errors.timing import BadSchedule as BadSchedule
from mlflowkit.errors.timing import BadTimetable as BadTimetable
from mlflowkit.errors.timing import BadZone as BadZone
from mlflowkit.errors.values import ArtifactCorrupt as ArtifactCorrupt
from mlflowkit.errors.values import ArtifactMissing as ArtifactMissing
from mlflowkit.errors.values import ArtifactNotStored as ArtifactNotStored
from mlflowkit.errors.values import BadFolder as BadFolder
from mlflowkit.errors.values import BashCannotStart as BashCannotStart
from mlflowkit.errors.values import BundleBroken as BundleBroken
from mlflowkit.errors.values import CannotRead as CannotRead
from mlflowkit.errors.values import CannotSerialize as CannotSerialize
from mlflowkit.errors.values import CannotTravel as CannotTravel
from mlflowkit.errors.values import CapturedTooLarge as CapturedTooLarge
from mlflowkit.errors.values import NoFileToUpload as NoFileToUpload
from mlflowkit.errors.values import NotExpandable as NotExpandable
from mlflowkit.errors.values import NotSeveralOutputs as NotSeveralOutputs
from mlflowkit.errors.values import PathNotFound as PathNotFound
from mlflowkit.errors.values import PickleRefused as PickleRefused
from mlflowkit.errors.values import ScriptCannotStart as ScriptCannotStart
from mlflowkit.errors.values import SecretInValue as SecretInValue
from mlflowkit.errors.values import UndefinedName as UndefinedName
from mlflowkit.errors.values import ValueError_ as ValueError_
from mlflowkit.errors.xcoms import AskedOutsideTask as AskedOutsideTask
from mlflowkit.errors.xcoms import BadXComKey as BadXComKey
from mlflowkit.errors.xcoms import BadXComPull as BadXComPull
from mlflowkit.errors.xcoms import CannotTestTask as CannotTestTask
from mlflowkit.errors.xcoms import UnknownOutput as UnknownOutput
from mlflowkit.errors.xcoms import UnknownXCom as UnknownXCom
from mlflowkit.errors.xcoms import UnknownXComTask as UnknownXComTask
from mlflowkit.errors.xcoms import XComError as XComError
from mlflowkit.errors.xcoms import XComNotThere as XComNotThere
