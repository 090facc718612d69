"""Django's settings. Everything that differs between installations comes from ``env.py``."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dj_database_url
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from a3mailer_site.env import BASE_DIR, current
from a3mailer_site.keys import private_directory, secret_key

env = current()
# mail, web or worker in the server's processes; anything else is a management command.
PROCESS = os.environ.get("A3MAILER_PROCESS", "command")

private_directory(env.data_dir)
SECRET_KEY = secret_key()
DEBUG = False
PRODUCTION = env.profile == "production"
ALLOWED_HOSTS = [name.strip() for name in env.allowed_hosts.split(",") if name.strip()] or [
    env.host_name,
    "localhost",
    "127.0.0.1",
    "[::1]",
]

# Pages and API. The mail and worker processes have none, and save 22 MB and half of their start without them.
WEB_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "django_prometheus",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
]
INSTALLED_APPS = [
    *([] if PROCESS in {"mail", "worker"} else WEB_APPS),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "a3mailer_site.apps.SiteConfig",
    "security",
    "domains",
    "accounts",
    "mailqueue",
    "monitoring",
    "mailcore",
    "mailcore.store",
]

# django-prometheus' own two, first and last, cost 1 to 3 % of a request. Its wrappers of database and cache are left
# out: the database has an engine of its own, and the caches count for themselves.
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "a3mailer_site.api.middleware.ForwardedMiddleware",
    "a3mailer_site.api.middleware.RequestIdMiddleware",
    "security.middleware.BlockedMiddleware",
    "security.middleware.RateLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
    "a3mailer_site.api.idempotency.IdempotencyMiddleware",
]

ROOT_URLCONF = "a3mailer_site.urls"
WSGI_APPLICATION = "a3mailer_site.wsgi.application"
ASGI_APPLICATION = "a3mailer_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "a3mailer_site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# One SQLite file is enough for most; the write gate makes its writers take turns fairly. PRAGMAs as measured:
# mail checkpoints inside its own commits; the others only as a safety net; what the worker writes becomes safe against
# a power cut with anyone's next full commit, and it switches to FULL itself where it accepts mail.
_SYNCHRONOUS = "NORMAL" if PROCESS == "worker" else "FULL"
_AUTOCHECKPOINT = 4000 if PROCESS == "mail" else 16000


def _database() -> dict[str, Any]:
    url = env.database_url or f"sqlite:///{env.data_dir / 'a3mailer.sqlite3'}"
    config: dict[str, Any] = dict(dj_database_url.parse(url))
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["ENGINE"] = "a3mailer_site.gated_sqlite"
        config["CONN_MAX_AGE"] = None
        config["OPTIONS"] = {
            "timeout": 5,
            # Statements kept prepared: the group commit alone has sixty.
            "cached_statements": 256,
            "transaction_mode": "IMMEDIATE",
            "init_command": (
                "PRAGMA journal_mode=WAL;"
                f"PRAGMA synchronous={_SYNCHRONOUS};"
                f"PRAGMA wal_autocheckpoint={_AUTOCHECKPOINT};"
                "PRAGMA journal_size_limit=67108864;"
                "PRAGMA temp_store=MEMORY;"
                "PRAGMA mmap_size=268435456;"
            ),
        }
        # Tests of several threads and processes need a file; a database in memory belongs to one connection.
        config["TEST"] = {"NAME": str(env.data_dir / "test.sqlite3")}
    else:
        config["CONN_MAX_AGE"] = None
        config["CONN_HEALTH_CHECKS"] = True
        config.setdefault("OPTIONS", {})
        config["OPTIONS"].setdefault("connect_timeout", 5)
        # Waiting longer for a row lock than this is answered with a temporary failure.
        config["OPTIONS"].setdefault("options", "-c lock_timeout=5s -c idle_in_transaction_session_timeout=60s")
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _cache(name: str, entries: int) -> dict[str, Any]:
    if env.redis_url:
        redis = "django.core.cache.backends.redis.RedisCache"
        return {"BACKEND": redis, "LOCATION": env.redis_url, "KEY_PREFIX": name}
    local = "django.core.cache.backends.locmem.LocMemCache"
    return {"BACKEND": local, "LOCATION": name, "OPTIONS": {"MAX_ENTRIES": entries}}


# Rate limits count in a cache of their own: what else is cached must never push a counter out.
CACHES = {"default": _cache("", 10_000), "limits": _cache("limits", 100_000)}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
    "bodies": {
        "BACKEND": "mailqueue.bodies.BodyFileStorage",
        "OPTIONS": {"location": str(env.data_dir / "bodies")},
    },
}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.passwords.PasswordBackend"]
PASSWORD_HASHERS = ["accounts.passwords.Argon2idHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.LongestPasswordValidator"},
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_SECURE = PRODUCTION
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.trusted_proxies else None
SECURE_HSTS_SECONDS = 31536000 if PRODUCTION else 0
X_FRAME_OPTIONS = "DENY"
# API paths end without a slash, and a redirected POST would lose its body.
APPEND_SLASH = False
# The largest that any API path takes; each has its own limit in api/middleware.py.
DATA_UPLOAD_MAX_MEMORY_SIZE = 48 * 1024 * 1024

LANGUAGE_CODE = env.language
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "a3mailer_site" / "locale"]
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = private_directory(env.data_dir / "static")
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.CsrfSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["a3mailer_site.api.permissions.ScopePermission"],
    "DEFAULT_THROTTLE_CLASSES": ["security.throttles.CallerThrottle", "security.throttles.CostlyThrottle"],
    "DEFAULT_PAGINATION_CLASS": "a3mailer_site.api.pagination.EnvelopePagination",
    "DEFAULT_SCHEMA_CLASS": "a3mailer_site.api.schema.EnvelopeSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PARSER_CLASSES": ["a3mailer_site.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "a3mailer_site.api.renderers.Utf8JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "EXCEPTION_HANDLER": "a3mailer_site.api.errors.exception_handler",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%SZ",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": None,
}


def _version() -> str:
    try:
        return version("a3mailer")
    except PackageNotFoundError:
        import tomllib  # noqa: PLC0415 - only in a source tree

        return str(tomllib.loads(Path(BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


VERSION = _version()

SPECTACULAR_SETTINGS = {
    "TITLE": "A3Mailer",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    # Introduction and areas are in api/schema.py, which cannot be imported here.
    "SERVERS": [{"url": "/", "description": "This server"}],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": STATIC_URL + "a3mailer/icon.svg",
    # Nothing that is typed in goes to another host, and an operation can be linked to.
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "persistAuthorization": False,
        "validatorUrl": None,
        "showExtensions": True,
    },
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["a3mailer_site.api.schema.finish"],
}

UNFOLD = {
    "SITE_TITLE": "A3Mailer",
    "SITE_HEADER": "A3Mailer",
    "SITE_SYMBOL": "mail",
    "SHOW_LANGUAGES": True,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("a3mailer/icon.svg")}  # noqa: ARG005
    ],
    "STYLES": [lambda request: static("a3mailer/pages.css")],  # noqa: ARG005 - unfold passes it
    "DASHBOARD_CALLBACK": "monitoring.dashboard.start_page",
}

LOGGING_CONFIG = None  # mailcore/journal.py sets logging up, for every process alike
PROMETHEUS_EXPORT_MIGRATIONS = False
