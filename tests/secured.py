"""A TLS client for the tests: a Wire over TLS, which knows whether the connection ended with a close_notify."""

import ssl

from wire import Wire


def context(authority=None, certificate=None, versions=None, alpn=None):
    """A client's TLS context: trusted authority (None: any), certificate and protocols."""
    made = ssl.create_default_context(cafile=authority)
    if authority is None:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        made.load_cert_chain(certificate)
    if versions:
        made.minimum_version = made.maximum_version = versions
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


class SecureWire(Wire):
    """A connection over TLS. `ended_orderly`: it ended with a close_notify; None while it is open."""

    def __init__(self, address, terms=None, name="localhost", session=None, **options):
        super().__init__(address, **options)
        self.ended_orderly = None
        try:
            self.socket = (terms or context()).wrap_socket(
                self.socket, server_hostname=name, suppress_ragged_eofs=False, session=session
            )
        except BaseException:
            self.socket.close()
            raise

    def _more(self):
        try:
            more = super()._more()
        except ssl.SSLEOFError:
            self.ended, self.ended_orderly = True, False
            return False
        if self.ended and self.ended_orderly is None:
            self.ended_orderly = True
        return more

    def send_anyway(self, *pieces):
        """Sends until the server has closed."""
        try:
            self.send(*pieces)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
