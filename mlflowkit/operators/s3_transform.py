"""S3FileTransformOperator: an object in, a script or a function over it, an object out.

Both files are in a new folder that only this user can read, and is removed at the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlflowkit.authoring.meaning import meant_by_name
from mlflowkit.authoring.operator import BaseOperator
from mlflowkit.errors import (
    BadOption,
    NothingTransformed,
    ScriptCannotStart,
    TransformFailed,
)
from mlflowkit.hooks.s3 import DEFAULT_CONNECTION, S3Hook
from mlflowkit.operators.processes import Child


class S3FileTransformOperator(BaseOperator):
    """Downloads an object, turns it into another file, uploads that.

    Args:
        source_s3_key: `s3://bucket/key` of the object to read.
        dest_s3_key: `s3://bucket/key` of the object to write.
        transform_script: A program, called with the path of the downloaded file, the path of
            the file to write, and `script_args`. "cp" copies. Its output goes to the log.
        transform: Instead of a script: a function, called in the same way with two `Path`s.
        script_args: More arguments for either.
        source_aws_conn_id: The connection to read with.
        dest_aws_conn_id: The connection to write with.
        replace: Write over an object that is there; else that is an error.
    """

    template_fields: ClassVar[tuple[str, ...]] = (
        "source_s3_key",
        "dest_s3_key",
        "script_args",
    )
    template_ext: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        task_id: str,
        *,
        source_s3_key: object,
        dest_s3_key: object,
        transform_script: object = None,
        transform: Callable[..., object] | None = None,
        script_args: Sequence[object] | None = None,
        select_expression: str | None = None,
        source_aws_conn_id: str = DEFAULT_CONNECTION,
        source_verify: bool | str | None = None,
        dest_aws_conn_id: str = DEFAULT_CONNECTION,
        dest_verify: bool | str | None = None,
        replace: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(task_id, **options)
        _check(task_id, transform_script, transform, select_expression)
        self.source_s3_key, self.dest_s3_key = source_s3_key, dest_s3_key
        self.transform_script, self.transform = transform_script, transform
        self._given += meant_by_name(transform)
        self.script_args = () if script_args is None else script_args
        self.source_aws_conn_id, self.source_verify = source_aws_conn_id, source_verify
        self.dest_aws_conn_id, self.dest_verify = dest_aws_conn_id, dest_verify
        self.replace = replace
        self._child = Child()

    def execute(self, context: Mapping[str, Any]) -> None:
        """Download, transform, upload.

        Raises:
            KeyMissing: there is no object to read.
            TransformFailed: the script failed. Nothing is uploaded.
            NothingTransformed: no file was written.
            ScriptCannotStart: there is no such program, or it may not be run.
            KeyExists: there is an object to be written over, and `replace` is False.
        """
        source = S3Hook(self.source_aws_conn_id, verify=self.source_verify)
        target = S3Hook(self.dest_aws_conn_id, verify=self.dest_verify)
        target.check_writable(str(self.dest_s3_key), self.replace)
        with tempfile.TemporaryDirectory(prefix="mlflowkit-s3-") as folder:
            taken, made = Path(folder, "source"), Path(folder, "dest")
            source.download_to(str(self.source_s3_key), taken)
            if self.transform is not None:
                self.transform(taken, made, *self.script_args)
            else:
                self._run_script(taken, made)
            if not made.is_file():
                raise NothingTransformed(self.task_id, self._shown)
            target.load_file(made, str(self.dest_s3_key), replace=self.replace)

    def on_kill(self) -> None:
        """End the script and all that it started in its process group."""
        self._child.end()

    @property
    def _shown(self) -> str:
        """What people call the transformation."""
        if self.transform is not None:
            return getattr(self.transform, "__name__", type(self.transform).__name__)
        return str(self.transform_script)

    def _run_script(self, taken: Path, made: Path) -> None:
        program = shutil.which(str(self.transform_script))
        if program is None:
            why = (
                "it is on no PATH"
                if os.sep not in str(self.transform_script)
                else "it is no file that may be run (chmod +x)"
            )
            raise ScriptCannotStart(self.task_id, self._shown, why)
        self._child = child = Child()
        argv = [program, str(taken), str(made), *(str(a) for a in self.script_args)]
        try:
            status = child.run(argv)
        except OSError as exc:  # a script without #!, for one
            why = str(exc.strerror or exc).lower()
            raise ScriptCannotStart(self.task_id, self._shown, why) from exc
        if status != 0:
            raise TransformFailed(self.task_id, self._shown, status, child.last_lines)


def _check(
    task_id: str, script: object, transform: object, select_expression: object
) -> None:
    where = f"task {task_id!r}"
    if select_expression is not None:
        why = (
            "asks for S3 Select, which AWS closed to new users in 2024: choose in the "
            "script or function"
        )
        raise BadOption(where, "select_expression", why)
    if transform is not None and not callable(transform):
        raise BadOption(where, "transform", "must be a function of two paths")
    if (script is None) == (transform is None):
        why = "or transform (a function) must be given, and not both"
        raise BadOption(where, "transform_script", why)
