"""Real web servers in front of Farrier, each started with the test's configuration and ended by pid."""

import os
import shutil
import socket
import subprocess

from wire import until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")

NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
pid %(directory)s/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path %(directory)s/body;
    proxy_temp_path %(directory)s/proxy;
    fastcgi_temp_path %(directory)s/fastcgi;
    uwsgi_temp_path %(directory)s/uwsgi;
    scgi_temp_path %(directory)s/scgi;
%(inside)s
}
"""

UWSGI_PARAMS = """
    uwsgi_param QUERY_STRING $query_string;
    uwsgi_param REQUEST_METHOD $request_method;
    uwsgi_param CONTENT_TYPE $content_type;
    uwsgi_param CONTENT_LENGTH $content_length;
    uwsgi_param REQUEST_URI $request_uri;
    uwsgi_param PATH_INFO $document_uri;
    uwsgi_param DOCUMENT_ROOT $document_root;
    uwsgi_param SERVER_PROTOCOL $server_protocol;
    uwsgi_param REQUEST_SCHEME $scheme;
    uwsgi_param HTTPS $https if_not_empty;
    uwsgi_param REMOTE_ADDR $remote_addr;
    uwsgi_param REMOTE_PORT $remote_port;
    uwsgi_param SERVER_PORT $server_port;
    uwsgi_param SERVER_NAME $server_name;
"""

# As nginx installs it: the whole path is SCRIPT_NAME, and there is no PATH_INFO.
FASTCGI_PARAMS = (
    UWSGI_PARAMS.replace("uwsgi_param PATH_INFO", "uwsgi_param SCRIPT_NAME").replace("uwsgi_param", "fastcgi_param")
    + """
    fastcgi_param GATEWAY_INTERFACE CGI/1.1;
    fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
    fastcgi_param DOCUMENT_URI $document_uri;
    fastcgi_param SERVER_ADDR $server_addr;
    fastcgi_param REDIRECT_STATUS 200;
"""
)


def free_port():
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def let_everybody_in(directory):
    """A web server's workers may have another user, who must be able to reach the sockets."""
    for folder in (directory, *directory.parents):
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o111)


class WebServer:
    """A running process; `ports` are waited for."""

    def __init__(self, command, ports, directory):
        self.log = directory / "web-server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=directory)
        try:
            until(lambda: self._ended() or all(map(_listens, ports)), 20, "the web server to listen")
            assert not self._ended(), self.log.read_text()
        except BaseException:
            self.stop()
            raise

    def _ended(self):
        return self.process.poll() is not None

    def stop(self):
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def nginx(directory, inside, ports):
    """nginx with this inside its `http` block."""
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION % {"directory": directory, "inside": inside}, encoding="utf-8")
    return WebServer([NGINX, "-e", "stderr", "-p", str(directory), "-c", str(configuration)], ports, directory)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
