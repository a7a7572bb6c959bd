"""Whether somebody answers at an address, before a client with much more patience asks."""

from __future__ import annotations

from email.message import Message
from ssl import SSLCertVerificationError
from urllib.error import HTTPError, URLError
from urllib.request import urlopen


def probe(url: str, patience_s: float) -> Message:
    """The headers of whoever answers, be it to ask for a password.

    A certificate that no public authority signed is an answer, too: its clients have settings of their own
    for whom they trust (PREFECT_API_SSL_CERT_FILE, MLFLOW_TRACKING_SERVER_CERT_PATH), and refuse others.

    Raises:
        OSError, ValueError: if nobody answers, or it is no address.
    """
    try:
        with urlopen(url, timeout=patience_s) as answer:
            headers: Message = answer.headers
            return headers
    except HTTPError as error:
        return error.headers
    except URLError as error:
        if isinstance(error.reason, SSLCertVerificationError):
            return Message()
        raise
