"""What wsproxy raises to its users. The message says what is wrong and what to do; the command line prints it and exits with 2."""


class WsproxyError(Exception):
    """Trouble that a person can mend."""


class RecordingError(WsproxyError):
    """This cannot be read as a recording."""


class CannotStart(WsproxyError):
    """A relay or a demo cannot begin: bad address, port taken, folder not writable, a part that does not come up."""
