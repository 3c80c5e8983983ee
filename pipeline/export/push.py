"""A dataset to a repository of the Hugging Face hub, as Parquet, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.export.folder import MANIFEST
from pipeline.export.run import export
from schemas.errors import ConfigError, FatalError, Mistake
from schemas.storage import Storage

__all__ = ["check_login", "check_repository", "hub_folder", "listed", "upload"]


def check_repository(repo_id: str) -> None:
    """Check a repository's name, before any work.

    Raises:
        ConfigError: no repository can have that name.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ConfigError("command line", [Mistake("REPO_ID", repo_id, str(error))]) from error


def check_login() -> None:
    """Check that the hub answers and knows the user.

    Raises:
        FatalError: it does not.
    """
    from huggingface_hub import HfApi

    with _hub():
        HfApi().whoami()


def hub_folder(
    dataset_dir: str, to: str | None, progress: Callable[[int, int], None], finishing: Callable[[], None]
) -> Path:
    """Return the folder to upload: the dataset's own, if it is a Parquet export, or where it was exported to.

    The export stays: a push of the same dataset that was stopped goes on from there.

    Args:
        dataset_dir: a finished dataset, or a Parquet export.
        to: where to export it to; by default beside it, ``<dataset_dir>-parquet``.
        progress: called with the rows done and all rows.
        finishing: called when all rows are exported, before the steps that make whole files of them.
    """
    folder = Path(dataset_dir).resolve()
    manifest = Storage(str(folder)).read_json(MANIFEST)
    if manifest is not None and manifest.get("format") == "parquet":
        return folder
    exported = Path(to or f"{folder}-parquet").resolve()
    export(dataset_dir, "parquet", to or str(exported), progress=progress, finishing=finishing)
    return exported


def listed(folder: Path) -> list[tuple[str, int]]:
    """Return name and bytes of every file of the folder, in order."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in files]


def upload(folder: Path, repo_id: str, private: bool) -> str:
    """Upload a folder; shards of an earlier push that it does not have go away in the same commit.

    Args:
        folder: a Parquet export.
        repo_id: ``owner/name``; made where there is none.
        private: make a new repository private.

    Returns:
        The commit's address.

    Raises:
        FatalError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="showtell")
    with _hub():
        repository = api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository.repo_id, repo_type="dataset", folder_path=folder, delete_patterns="data/*.parquet",
            commit_message="Upload a dataset made by Showtell",
        )
    return str(commit.commit_url)


@contextmanager
def _hub() -> Iterator[None]:
    """Turn the client's errors into one line."""
    # HTTPError: of the client's HTTP library, which has changed before; it stands for a hub that does not answer.
    from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise FatalError("the hub needs a token: `hf auth login`, or set HF_TOKEN") from error
    except (HTTPError, OfflineModeIsEnabled, RuntimeError) as error:
        raise FatalError(f"hub: {' '.join(str(error).split())}") from error
