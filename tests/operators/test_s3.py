"""S3 operators, inside DAG runs, on a real server."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlflowkit import DAG, task
from mlflowkit.errors import (
    BadOption,
    KeyExists,
    KeyMissing,
    NothingTransformed,
    RunFailed,
    ScriptCannotStart,
    TransformFailed,
)
from mlflowkit.hooks.s3 import S3Hook
from mlflowkit.operators.s3 import (
    LocalFilesystemToS3Operator,
    S3CopyObjectOperator,
    S3CreateBucketOperator,
    S3DeleteBucketOperator,
    S3DeleteObjectsOperator,
    S3FileTransferOperator,
    S3FileTransformOperator,
    S3ListOperator,
)
from tests.homes import alive, wait_until


@pytest.fixture
def name(bucket: str) -> str:
    """A bucket with s3://.../in.txt in it."""
    name = bucket.removeprefix("s3://")
    S3Hook().load_string("hello\n", "in.txt", name)
    return name


def script(folder: Path, text: str) -> str:
    file = folder / "transform.sh"
    file.write_text(text)
    file.chmod(0o755)
    return str(file)


def run(operator: type[Any], **options: Any) -> Any:
    """A DAG run of one task `t`."""
    with DAG("one") as dag:
        operator(task_id="t", **options)
    return dag.test()


def cause(error: pytest.ExceptionInfo[RunFailed]) -> BaseException | None:
    return error.value.__cause__


def test_a_bucket_from_its_making_to_its_end_is_a_dag(s3: object, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"weights")
    bucket = f"story-{os.getpid()}"
    with DAG("story") as dag:
        make = S3CreateBucketOperator(task_id="make", bucket_name=bucket)
        again = S3CreateBucketOperator(task_id="again", bucket_name=bucket)
        upload = S3FileTransferOperator(
            task_id="upload",
            filename=tmp_path / "model.pt",
            dest_key=f"s3://{bucket}/models/model.pt",
        )
        copy = S3CopyObjectOperator(
            task_id="copy",
            source_bucket_key="models/model.pt",
            dest_bucket_key="models/best.pt",
            source_bucket_name=bucket,
            dest_bucket_name=bucket,
        )
        before = S3ListOperator(task_id="before", bucket=bucket, prefix="models/")
        delete = S3DeleteObjectsOperator(
            task_id="delete", bucket=bucket, keys=["models/model.pt"]
        )
        after = S3ListOperator(task_id="after", bucket=bucket)
        clear = S3DeleteObjectsOperator(task_id="clear", bucket=bucket, prefix="")
        empty = S3ListOperator(task_id="empty", bucket=bucket)
        remove = S3DeleteBucketOperator(task_id="remove", bucket_name=bucket)
        gone = S3DeleteBucketOperator(task_id="gone", bucket_name=bucket)
        make >> again >> upload >> copy >> before >> delete >> after >> clear >> empty
        empty >> remove >> gone
    done = dag.test()
    assert set(done.states().values()) == {"success"}
    assert done.result("before") == ["models/best.pt", "models/model.pt"]
    assert done.result("after") == ["models/best.pt"]
    assert done.result("empty") == []
    assert S3Hook().check_for_bucket(bucket) is False


def test_a_list_of_one_task_is_what_the_next_removes(name: str) -> None:
    with DAG("chained") as dag:
        found = S3ListOperator(
            task_id="found", bucket=name, prefix="*.txt", apply_wildcard=True
        )
        S3DeleteObjectsOperator(task_id="delete", bucket=name, keys=found.output)
    assert dag.test().states() == {"found": "success", "delete": "success"}
    assert S3Hook().list_keys(name) == []


def test_a_file_is_uploaded_packed_and_never_over_another(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("text")
    options = {
        "filename": str(tmp_path / "f"),
        "dest_key": "f.gz",
        "dest_bucket": name,
        "gzip": True,
    }
    assert run(LocalFilesystemToS3Operator, **options).states() == {"t": "success"}
    assert gzip.decompress(S3Hook().read_bytes("f.gz", name)) == b"text"
    with pytest.raises(RunFailed) as caught:
        run(LocalFilesystemToS3Operator, **options)
    assert isinstance(cause(caught), KeyExists)
    assert run(LocalFilesystemToS3Operator, replace=True, **options).state == "success"


def test_a_script_turns_one_object_into_another(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = '#!/bin/sh\necho "from $3"\ntr a-z A-Z < "$1" > "$2"\n'
    run(
        S3FileTransformOperator,
        source_s3_key=f"s3://{name}/in.txt",
        dest_s3_key=f"s3://{name}/out.txt",
        transform_script=script(tmp_path, text),
        script_args=["here; rm -rf $HOME"],
    )
    assert S3Hook().read_key("out.txt", name) == "HELLO\n"
    assert "from here; rm -rf $HOME\n" in capfd.readouterr().out


def test_a_function_turns_one_object_into_another(name: str) -> None:
    def shout(source: Path, target: Path, mark: str) -> None:
        target.write_text(source.read_text().strip().upper() + mark)

    run(
        S3FileTransformOperator,
        source_s3_key=f"s3://{name}/in.txt",
        dest_s3_key=f"s3://{name}/in.txt",
        transform=shout,
        script_args=["!"],
        replace=True,
    )
    assert S3Hook().read_key("in.txt", name) == "HELLO!"


def test_a_program_of_the_path_copies(name: str) -> None:
    run(
        S3FileTransformOperator,
        source_s3_key=f"s3://{name}/in.txt",
        dest_s3_key=f"s3://{name}/copy.txt",
        transform_script="cp",
    )
    assert S3Hook().read_key("copy.txt", name) == "hello\n"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"transform_script": "false"}, TransformFailed, "exit status 1"),
        (
            {"transform_script": "true"},
            NothingTransformed,
            "'true' of task 't' wrote no file",
        ),
        ({"transform_script": "no-such"}, ScriptCannotStart, "it is on no PATH"),
        ({"transform_script": "/no/such"}, ScriptCannotStart, "chmod"),
        ({"transform": lambda a, b: None}, NothingTransformed, "wrote no file"),
        ({"transform_script": "cp", "source": "none.txt"}, KeyMissing, "none.txt"),
        ({"transform_script": "cp", "target": "in.txt"}, KeyExists, "replace=True"),
    ],
)
def test_what_goes_wrong_is_said_and_nothing_is_uploaded(
    name: str, options: dict[str, Any], error: type[Exception], says: str
) -> None:
    source, target = options.pop("source", "in.txt"), options.pop("target", "out.txt")
    with pytest.raises(RunFailed) as caught:
        run(
            S3FileTransformOperator,
            source_s3_key=f"s3://{name}/{source}",
            dest_s3_key=f"s3://{name}/{target}",
            **options,
        )
    assert type(cause(caught)) is error
    assert says in str(cause(caught))
    assert S3Hook().list_keys(name) == ["in.txt"]
    assert S3Hook().read_key("in.txt", name) == "hello\n"


def test_a_file_that_is_no_program_cannot_be_started(name: str, tmp_path: Path) -> None:
    plain = script(tmp_path, "tr a-z A-Z\n")  # nothing says which program reads it
    with pytest.raises(RunFailed) as caught:
        run(
            S3FileTransformOperator,
            source_s3_key=f"s3://{name}/in.txt",
            dest_s3_key=f"s3://{name}/out.txt",
            transform_script=plain,
        )
    assert isinstance(cause(caught), ScriptCannotStart)
    assert "exec format error" in str(cause(caught))


def test_a_script_that_fails_is_shown_with_what_it_wrote_to_stderr(
    name: str, tmp_path: Path
) -> None:
    text = "#!/bin/sh\necho partly > $2\necho 'no such column: age' >&2\nexit 3\n"
    with pytest.raises(RunFailed) as caught:
        run(
            S3FileTransformOperator,
            source_s3_key=f"s3://{name}/in.txt",
            dest_s3_key=f"s3://{name}/out.txt",
            transform_script=script(tmp_path, text),
        )
    error = cause(caught)
    assert isinstance(error, TransformFailed)
    assert (error.status, error.last_lines) == (3, "no such column: age")
    assert "no such column: age" in str(error)
    assert S3Hook().list_keys(name) == ["in.txt"]


def test_ending_the_task_ends_the_script_and_all_it_started(
    name: str, tmp_path: Path
) -> None:
    text = f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/pid.new\nmv {tmp_path}/pid.new {tmp_path}/pid\nwait\n"
    code = (
        "import signal, sys\n"
        "from mlflowkit.operators.s3 import S3FileTransformOperator\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        f"S3FileTransformOperator(task_id='t', source_s3_key='s3://{name}/in.txt', "
        f"dest_s3_key='s3://{name}/out.txt', "
        f"transform_script={script(tmp_path, text)!r}).execute({{}})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as child:
        wait_until(lambda: (tmp_path / "pid").exists() or child.poll() is not None)
        sleeper = int((tmp_path / "pid").read_text())
        assert alive(sleeper)
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(timeout=120) == 1
    wait_until(lambda: not alive(sleeper))
    assert S3Hook().list_keys(name) == ["in.txt"]


def test_what_cannot_be_meant_is_refused_while_the_dag_is_written() -> None:
    keys: dict[str, Any] = {"source_s3_key": "s3://b/a", "dest_s3_key": "s3://b/c"}
    for wrong, says in (
        ({}, "not both"),
        ({"transform_script": "cp", "transform": print}, "not both"),
        ({"transform": "cp"}, "must be a function"),
        ({"transform_script": "cp", "select_expression": "SELECT 1"}, "S3 Select"),
    ):
        with pytest.raises(BadOption, match=says):
            S3FileTransformOperator(task_id="t", **keys, **wrong)
    with pytest.raises(BadOption, match="give keys, or a prefix"):
        S3DeleteObjectsOperator(task_id="t", bucket="b")
    with pytest.raises(BadOption, match="one or the other"):
        S3DeleteObjectsOperator(task_id="t", bucket="b", keys=["a"], prefix="b")


def test_an_operator_takes_what_other_tasks_give(name: str, tmp_path: Path) -> None:
    @task
    def write(folder: str) -> str:
        file = Path(folder, "made.txt")
        file.write_text("made")
        return str(file)

    @task
    def words() -> list[str]:
        return ["one two"]

    with DAG("given") as dag:
        file = write(str(tmp_path))
        LocalFilesystemToS3Operator(
            task_id="upload", filename=file, dest_key="made.txt", dest_bucket=name
        )
        S3FileTransformOperator(
            task_id="copy",
            source_s3_key=f"s3://{name}/in.txt",
            dest_s3_key=f"s3://{name}/copy.txt",
            transform_script=script(tmp_path, '#!/bin/sh\necho "$3" > $2\n'),
            script_args=words(),
        )
    assert set(dag.test().states().values()) == {"success"}
    assert S3Hook().read_key("made.txt", name) == "made"
    assert S3Hook().read_key("copy.txt", name) == "one two\n"
