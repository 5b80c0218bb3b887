"""Which failures of a unit are worth another try: those of files and devices that others use too, and no others."""

import errno

from torch import OutOfMemoryError

RETRIES = 2
RETRY_DELAYS_SECONDS = [10, 60]
_PASSING = {
    errno.EIO: "the storage did not answer",
    errno.ESTALE: "the shared folder lost the file",
    errno.ETIMEDOUT: "the storage did not answer in time",
    errno.EAGAIN: "the file is in use",
    errno.EBUSY: "the file is in use",
    errno.ENETDOWN: "the network is down",
    errno.ENETUNREACH: "the network is down",
    errno.EHOSTUNREACH: "the storage cannot be reached",
}


def reason_to_retry(error: BaseException | None) -> str | None:
    """Return why another try may succeed, or None where it would only fail again.

    A plan, image set or network that is wrong stays wrong, a full disk stays full, and the same seed finds the same
    NaN: of those nothing is tried again.

    >>> reason_to_retry(OSError(errno.ESTALE, "stale"))
    'the shared folder lost the file'
    >>> reason_to_retry(OSError(errno.ENOSPC, "full")) is None
    True
    """
    while error is not None:
        if isinstance(error, OutOfMemoryError):
            return "the GPU's memory was full; another job may have left it by then"
        if isinstance(error, ConnectionError):
            return "a connection broke"
        if isinstance(error, OSError) and error.errno in _PASSING:
            return _PASSING[error.errno]
        error = error.__cause__
    return None
