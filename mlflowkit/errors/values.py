"""Errors of values and names that cannot travel between processes."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, a, suggest


class ValueError_(UserError):
    """A value or a name that cannot travel between processes."""

    code = "value"


class CannotSerialize(ValueError_):
    """A value that cannot be sent to another process. Nothing of it was stored."""

    code = "cannot_serialize"

    def __init__(self, where: str, at: str, type_name: str, reason: str) -> None:
        self.where, self.at, self.type_name, self.reason = where, at, type_name, reason
        super().__init__(
            f"{where}: {at} is {a(type_name)}, which cannot travel to another process "
            f"({reason}). Pass on what it is made from (a path, a name, plain data) and "
            "make it again in the task that needs it."
        )


class PathNotFound(ValueError_):
    """A `Path` among the values of a task that names no file or folder."""

    code = "path_not_found"

    def __init__(self, where: str, at: str, path: str, problem: str) -> None:
        self.where, self.at, self.path = where, at, path
        super().__init__(
            f"{where}: {at} is the path {path!r}, {problem}. A Path travels with its file "
            "or folder: write it first, or pass str(path) if only the name is meant."
        )


class NotExpandable(ValueError_):
    """A value that mapped tasks cannot be made from."""

    code = "not_expandable"

    def __init__(self, where: str, type_name: str) -> None:
        self.where, self.type_name = where, type_name
        super().__init__(
            f"{where}: tasks are mapped over a list, tuple, dict or range, "
            f"but the value is {a(type_name)}. Return list(...) or dict(...) of it."
        )


class CannotRead(ValueError_):
    """A stored value that cannot be made into an object again in this process."""

    code = "cannot_read"

    def __init__(self, what: str, reason: str) -> None:
        self.what, self.reason = what, reason
        super().__init__(f"{what} cannot be read back here: {reason}")


class PickleRefused(ValueError_):
    """A stored value is a pickle, and this process does not open pickles."""

    code = "pickle_refused"

    def __init__(self) -> None:
        super().__init__(
            "the value is stored as a pickle, which can run code when it is opened, and "
            "this process opens none. Read it in a task or in your own Python session."
        )


class ArtifactMissing(ValueError_):
    """Stored bytes that are not in the artifact store (any more)."""

    code = "artifact_missing"

    def __init__(self, digest: str, where: str) -> None:
        self.digest, self.where = digest, where
        super().__init__(
            f"artifact {digest[:12]} is not in {where}: it was cleaned away, or belongs to "
            "another home. Run the task that made it again."
        )


class ArtifactCorrupt(ValueError_):
    """Stored bytes that are not what was stored."""

    code = "artifact_corrupt"

    def __init__(self, digest: str, problem: str) -> None:
        self.digest, self.problem = digest, problem
        super().__init__(
            f"artifact {digest[:12]} is damaged ({problem}). "
            "Run the task that made it again; the bytes are then stored anew."
        )


class ArtifactNotStored(ValueError_):
    """Bytes that the artifact store could not take (a full disk, no permission)."""

    code = "artifact_not_stored"

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(
            f"nothing could be stored in {where}: {reason}. Nothing was left half written. "
            "Make room (mlflowkit clean) or set MLFLOWKIT_HOME to another disk."
        )


class BadFolder(ValueError_):
    """A folder that cannot be stored, or an index that must not be restored."""

    code = "bad_folder"

    def __init__(self, folder: str, entry: str, problem: str) -> None:
        self.folder, self.entry, self.problem = folder, entry, problem
        super().__init__(
            f"folder {folder!r} cannot travel: its entry {entry!r} {problem}. "
            "Take it out, or replace it by a plain file."
        )


class CannotTravel(ValueError_):
    """A name that a task uses cannot be sent to the process that runs the task."""

    code = "cannot_travel"

    def __init__(
        self, task_id: str, name: str, type_name: str, reason: str, defined_in: str = ""
    ) -> None:
        self.task_id, self.name, self.type_name = task_id, name, type_name
        self.reason, self.defined_in = reason, defined_in
        place = f" (see {defined_in})" if defined_in else ""
        super().__init__(
            f"task {task_id!r} uses {name}, {a(type_name)}, which cannot travel to the "
            f"process that runs the task: {reason}{place}. Make it inside the task, or pass "
            "on what it is made from (a path, a name, plain data)."
        )


class UndefinedName(ValueError_):
    """A task of a notebook or script uses a name that nothing has defined."""

    code = "undefined_name"

    def __init__(
        self,
        task_id: str,
        name: str,
        function: str,
        known: Iterable[str],
        cell: str = "",
    ) -> None:
        self.task_id, self.name, self.function = task_id, name, function
        #: A sentence that names the cell which would define it; empty if none is known to.
        self.cell = cell
        where = f" (in {function}())" if function != task_id else ""
        super().__init__(
            f"task {task_id!r} uses {name!r}{where}, which is not defined.{suggest(name, known)} "
            f"{cell or 'Define it, or run the cell that does, before the run.'}"
        )


class CapturedTooLarge(ValueError_):
    """A global that a task uses is too large to be part of its code."""

    code = "captured_too_large"

    def __init__(
        self, task_id: str, name: str, type_name: str, size_bytes: int, limit_bytes: int
    ) -> None:
        self.task_id, self.name, self.type_name = task_id, name, type_name
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        super().__init__(
            f"task {task_id!r} uses the global {name}, {a(type_name)} of "
            f"{size_bytes / 1e6:.1f} MB; more than {limit_bytes / 1e6:.0f} MB do not travel "
            f"with a task's code. Pass it as an argument: {task_id}({name.rsplit('.', maxsplit=1)[-1]})."
        )


class BundleBroken(ValueError_):
    """The stored code of a DAG cannot be opened."""

    code = "bundle_broken"

    def __init__(self, folder: str, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"the code stored in {folder} cannot be opened: {why}. Run the DAG again; "
            "its code is then stored anew."
        )


class NotSeveralOutputs(ValueError_):
    """A task with multiple_outputs returned something else than a dict with text keys."""

    code = "not_several_outputs"

    def __init__(self, task_id: str, found: str) -> None:
        self.task_id, self.found = task_id, found
        super().__init__(
            f"task {task_id!r} has multiple_outputs, so it must return a dict whose keys are "
            f"str, but it returned {found}. Mend the return value, or use "
            "@task(multiple_outputs=False)."
        )


class ScriptCannotStart(ValueError_):
    """The script that should turn one file into another cannot be started."""

    code = "script_cannot_start"

    def __init__(self, task_id: str, script: str, why: str) -> None:
        self.task_id, self.script, self.why = task_id, script, why
        super().__init__(
            f"the script {script!r} of task {task_id!r} cannot be started: {why}."
        )


class NoFileToUpload(ValueError_):
    """A file that should be uploaded is not there."""

    code = "no_file_to_upload"

    def __init__(self, path: str, target: str) -> None:
        self.path, self.target = path, target
        super().__init__(
            f"there is no file {path!r} to upload to {target}. Give a file's path, absolute or "
            "from the folder the task runs in, and see that the task before writes it."
        )


class BashCannotStart(ValueError_):
    """A BashOperator cannot start its command."""

    code = "bash_cannot_start"

    def __init__(self, task_id: str, why: str) -> None:
        self.task_id, self.why = task_id, why
        super().__init__(f"the command of task {task_id!r} cannot be started: {why}.")


class SecretInValue(ValueError_):
    """A value that is to be stored holds a secret."""

    code = "secret_in_value"

    def __init__(self, where: str, what: str) -> None:
        self.where, self.what = where, what
        super().__init__(
            f"{where} holds the value of {what}, and nothing that is stored may: it was not "
            "stored. Hand on the secret by its name instead, as secret('...'): whoever takes it "
            "gets the value."
        )
