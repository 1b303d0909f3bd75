"""The files that a run reads: checked, and standard input kept for later sessions."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path
from typing import BinaryIO

from claudebatch.config.paths import Paths
from claudebatch.core.errors import ClaudebatchError
from claudebatch.core.events import Emit
from claudebatch.inputs.formats import is_compressed, open_format, table_kind
from claudebatch.setup.input_files import PreparedInputs
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.validate_input import fingerprint
from claudebatch.storage.private_files import STATE_DIR, new_file, private_dir, scratch_file
from claudebatch.storage.results_file import check_place
from claudebatch.storage.run_folder import RunFolder

# Standard input may be larger than the memory.
_READ_BYTES = 1 << 20


def check_inputs(options: RunOptions, output: Path | None) -> None:
    """Refuse files that cannot be read, or would be overwritten. Raises
    `ClaudebatchError`.
    """
    if options.output is None and len(options.inputs) > 1 and output is not None:
        # The name of the first alone would be that of its own results as well, and a
        # later run of it would take these out of the file.
        raise ClaudebatchError(
            "E604",
            f"{len(options.inputs)} inputs need a name for their results; nothing was sent",
            fix=f"add -o FILE; earlier versions wrote to {output}",
        )
    options.check_inputs()
    options.check_form()
    if output is not None:
        check_place(output)
    for path in (Path(name) for name in options.inputs if name != "-"):
        if not options.each_file:
            _check_format(path, options)
        if output is not None and output.exists() and output.samefile(path):
            raise ClaudebatchError(
                "E605", f"{path} is both input and output", fix="write to another file with -o"
            )


def _check_format(path: Path, options: RunOptions) -> None:
    name = str(path)
    # What is inside of a compressed file is looked at when it is unpacked.
    if is_compressed(path, name):
        return
    wanted = "text" if options.text else options.input_format
    kind = table_kind(path, name, wanted=wanted)
    if kind is None:
        open_format(path, name=name, text=options.text, wanted=options.input_format)
    else:
        kind.require(name)


def spool_stdin(options: RunOptions, paths: Paths, stdin: BinaryIO) -> Path | None:
    """A copy of standard input on disk; None where it is no input, or a terminal.

    Rows are read again when their turn comes, in this session or a later one.
    """
    if "-" not in options.inputs or stdin.isatty():
        return None
    private_dir(paths.runs, named_by=STATE_DIR)
    # Under a name of its own: processes of two containers may share this folder and
    # have one number.
    spool = new_file(paths.runs, "stdin-", ".jsonl", "")
    with spool.open("wb") as file:
        shutil.copyfileobj(stdin, file, _READ_BYTES)
    return spool


def folder_name(options: RunOptions, spooled: Path | None) -> str:
    """The name of the folder of a run without a results file."""
    # Such a run is known by its input: the same command finds it again.
    if spooled is not None:
        return fingerprint([spooled])[:16]
    paths = "\0".join(str(Path(name).absolute()) for name in options.inputs)
    return hashlib.sha256(paths.encode()).hexdigest()[:16]


def input_files(
    options: RunOptions, folder: RunFolder, spooled: Path | None, emit: Emit
) -> tuple[Path, ...]:
    """The files to read; standard input from the copy in *folder*."""
    if spooled is not None:
        _move(spooled, folder.spool)
    elif "-" in options.inputs and not folder.spool.exists():
        raise ClaudebatchError(
            "E606",
            "standard input is a terminal and there is nothing to resume",
            fix="pipe the prompts in, or name a file",
        )
    prepared = PreparedInputs(options, folder.path, emit)
    return tuple(file.path for file in prepared.files(folder.spool))


def drop_spool(spooled: Path | None) -> None:
    """Remove the copy of standard input, unless the run has taken it over."""
    if spooled is not None:
        spooled.unlink(missing_ok=True)


def _move(spooled: Path, place: Path) -> None:
    try:
        spooled.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The results lie on another disk than our state.
        fresh = scratch_file(place.with_name(place.name + ".new"))
        shutil.copyfile(spooled, fresh)
        fresh.replace(place)
