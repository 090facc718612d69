"""Django as a WSGI application: all plain HTTP goes through it, in a pool of threads."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a3mailer_site.settings")
application = get_wsgi_application()
