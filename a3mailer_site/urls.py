"""The web: admin, API, health. API paths end without a slash, exactly as the reference has them."""

from django.conf.urls.i18n import urlpatterns as language_urls
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from a3mailer_site.api.document import DocumentView
from mailcore.sendapi.views import SendView
from monitoring.metric_views import MetricsView
from monitoring.server_views import HealthView, ReadyView

admin.site.index_title = _("Overview")

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("i18n/", include(language_urls)),
    path("health", HealthView.as_view()),
    path("ready", ReadyView.as_view()),
    path("metrics", MetricsView.as_view()),
    path("api/v1/", include("accounts.urls")),
    path("api/v1/", include("domains.urls")),
    path("api/v1/messages/send", SendView.as_view()),
    path("api/v1/", include("mailqueue.urls")),
    path("api/v1/", include("security.urls")),
    path("api/v1/", include("monitoring.urls")),
    path("api/v1/schema", DocumentView.as_view(), name="schema"),
    path("api/v1/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
]

handler400 = "a3mailer_site.api.errors.bad_request"
handler403 = "a3mailer_site.api.errors.permission_denied"
handler404 = "a3mailer_site.api.errors.not_found"
handler500 = "a3mailer_site.api.errors.server_error"
