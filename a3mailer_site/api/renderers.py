"""JSON as answers have it: UTF-8, and the content type says so."""

from rest_framework.renderers import JSONRenderer


class Utf8JSONRenderer(JSONRenderer):
    """``application/json; charset=utf-8``."""

    charset = "utf-8"
