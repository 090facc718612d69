"""Django as an ASGI application, for servers of one's own choice. Ours takes plain HTTP through ``wsgi.py``."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a3mailer_site.settings")
application = get_asgi_application()
