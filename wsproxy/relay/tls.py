"""TLS: what the relay shows to its clients, what it asks of its upstreams, and every way in which that fails, in words.

Strategy: two contexts per relay, made before it listens, so that a missing key or a wrong password is trouble at the start. Both speak HTTP/1.1
only (ALPN): what would follow an agreement on h2 is nothing that can be recorded. Renegotiation is off on both sides; key updates and session
tickets are OpenSSL's affair and pass through the channel. `shake_hands` drives the handshake on the event loop; afterwards nothing waits here any
more (`tls_channel`).

Verification is on: the chain against the system's store (and `--ca-file` beside it), the name against the upstream's host, which is also the SNI.
OpenSSL's verdicts have numbers; `_VERDICTS` says them to a person, with what to do.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from .ends import READ_SIZE

HANDSHAKE_SECONDS = 10.0


class TlsOptions(NamedTuple):
    """The files that `wsproxy record` was given; empty where it was given none."""

    cert: str = ""
    key: str = ""
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    insecure: bool = False


class HandshakeError(Exception):
    """No TLS with this peer; the message says why.

    Attributes:
        untrusted: the peer is there and speaks TLS, but its certificate does not prove who it is.
        received: what it had sent.
    """

    def __init__(self, why: str, *, untrusted: bool = False, received: bytes = b"") -> None:
        super().__init__(why)
        self.untrusted = untrusted
        self.received = received


class Established(NamedTuple):
    """A handshake that is done: the session, and the two buffers between it and the socket."""

    session: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


# By X509_V_ERR_… (x509_vfy.h).
_VERDICTS = {
    9: "its certificate is not valid yet (is this machine's clock right?)",
    10: "its certificate has expired",
    18: "its certificate is self-signed: give it with --ca-file to trust it",
    19: "its certificate is of an unknown authority: give that with --ca-file to trust it",
    20: "its certificate is of an unknown authority: give that with --ca-file to trust it",
    21: "its certificate is of an unknown authority: give that with --ca-file to trust it",
    23: "its certificate was revoked",
}
_OTHER_NAME = (62, 64)  # host name, IP address
_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it does not speak TLS: this is plain HTTP",
    "PACKET_LENGTH_TOO_LONG": "it does not speak TLS",
    "RECORD_LAYER_FAILURE": "it does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks only TLS older than 1.2",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks another version of TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust our certificate (alert: unknown authority)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate (alert: bad certificate)",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate (alert: certificate unknown)",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it does not accept our certificate (alert: certificate expired)",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the handshake (alert: handshake failure)",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a client certificate: give --client-cert and --client-key",
}


def words(error: ssl.SSLError) -> str:
    """What went wrong on a TLS connection."""
    reason = error.reason or ""
    return _REASONS.get(reason) or (reason.lower().replace("_", " ") if reason else str(error))


def listening_context(options: TlsOptions) -> ssl.SSLContext:
    """What clients meet. Raises ValueError with the file that is wrong."""
    context = _restrained(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    _load_own(context, options.cert, options.key, "--tls-cert", "--tls-key")
    return context


def upstream_context(options: TlsOptions) -> ssl.SSLContext:
    """What upstreams must prove, and what they are shown. Raises ValueError with the file that is wrong."""
    context = _restrained(ssl.create_default_context())
    if options.ca_file:
        _readable(options.ca_file, "--ca-file")
        try:
            context.load_verify_locations(options.ca_file)
        except ssl.SSLError:
            raise ValueError(f"--ca-file: {options.ca_file} holds no certificate in PEM form") from None
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if options.client_cert:
        _load_own(context, options.client_cert, options.client_key, "--client-cert", "--client-key")
    return context


def _restrained(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_own(context: ssl.SSLContext, cert: str, key: str, cert_option: str, key_option: str) -> None:
    _readable(cert, cert_option)
    if key:
        _readable(key, key_option)

    def password() -> str:
        raise ValueError(f"{key_option if key else cert_option}: the key is encrypted; give one without a password")

    try:
        context.load_cert_chain(cert, key or None, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key_option}: {key or cert} is not the key of {cert}") from None
        raise ValueError(f"{cert_option}: {cert} and {key or cert} are no certificate and key in PEM form") from None


def _readable(path: str, option: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{option}: {path}: {os.strerror(error.errno or 0).lower()}") from None


async def shake_hands(
    sock: socket.socket, context: ssl.SSLContext, seconds: float, *, server_name: str | None = None
) -> Established:
    """Do a handshake, as the client of `server_name`, or as the server where there is none.

    Raises:
        HandshakeError: in words; the alert has been sent as far as that could be done.
    """
    loop = asyncio.get_running_loop()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_side=server_name is None, server_hostname=server_name)
    received = bytearray()  # for the record, as long as nothing has been understood
    try:
        async with asyncio.timeout(seconds):
            while True:
                done = _step(session)
                if outgoing.pending:
                    await loop.sock_sendall(sock, outgoing.read())
                if done:
                    return Established(session, incoming, outgoing)
                data = await loop.sock_recv(sock, READ_SIZE)
                if not data:
                    raise HandshakeError("it hung up during the TLS handshake", received=bytes(received))
                received += data
                incoming.write(data)
    except TimeoutError:
        why = f"no TLS handshake within {seconds:g} s"
        raise HandshakeError(why, received=bytes(received)) from None
    except ssl.SSLCertVerificationError as error:
        _say(sock, outgoing)
        raise HandshakeError(_verdict(error, server_name), untrusted=True) from None
    except ssl.SSLError as error:
        _say(sock, outgoing)
        raise HandshakeError(words(error), received=bytes(received)) from None
    except OSError as error:
        why = f"{os.strerror(error.errno).lower() if error.errno else error} during the TLS handshake"
        raise HandshakeError(why, received=bytes(received)) from None


def _step(session: ssl.SSLObject) -> bool:
    """Whether the handshake is done; if not, more bytes are needed."""
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _say(sock: socket.socket, outgoing: ssl.MemoryBIO) -> None:
    """Send the alert, if it can be sent at once."""
    try:
        sock.send(outgoing.read())
    except OSError:
        pass  # it does not listen: there is nothing more to say


def _verdict(error: ssl.SSLCertVerificationError, host: str | None) -> str:
    if error.verify_code in _OTHER_NAME:
        return f"its certificate is not for {host}"
    return _VERDICTS.get(error.verify_code) or f"its certificate cannot be verified: {error.verify_message}"
