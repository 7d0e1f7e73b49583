"""The smallest Flask application: one view."""

from flask import Flask

application = Flask(__name__)


@application.get("/")
def hello():
    return "Hello, World!", 200, {"Content-Type": "text/plain"}
