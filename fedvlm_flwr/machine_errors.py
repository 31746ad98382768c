"""What the machine refuses (a full disk, a folder of somebody else's), in one sentence."""

import errno
import os
import re

OTHER_PLACE = "ask its owner, or set output_dir and FEDVLM_HOME to folders of your own"
ROOM = "make room there, or set output_dir and FEDVLM_HOME to another disk"
CURES = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`)",
    errno.EACCES: OTHER_PLACE,
    errno.EPERM: OTHER_PLACE,
    errno.EROFS: OTHER_PLACE,
    errno.ENOTDIR: OTHER_PLACE,
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`)",
    errno.ENOMEM: "free some memory, or run fewer clients at once (engine.cpus_per_client)",
}
RUST = re.compile(r"\(os error (\d+)\)")  # how safetensors tells of the system's errors


def machine_sentence(error: BaseException) -> str | None:
    """What was refused, where, and what to change; None for an error that is not the machine's."""
    match = RUST.search(str(error))
    if isinstance(error, OSError) and error.errno is not None:
        number, place = error.errno, error.filename
    elif match is not None:
        number, place = int(match[1]), None
    else:
        return None
    if number not in CURES:
        return None
    where = f": {place}" if place is not None else ""
    return f"{os.strerror(number)}{where}; {CURES[number]}."
