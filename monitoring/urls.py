"""API paths of this app, without a trailing slash as in the reference."""

from django.urls import path

from monitoring.views import ServerInfoView

urlpatterns = [path("server/info", ServerInfoView.as_view())]
