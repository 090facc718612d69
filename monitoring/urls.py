"""API paths of this app, without a trailing slash as in the reference."""

from django.urls import path

from monitoring.metric_views import ApplicationMetricsView, CustomMetricsView, CustomMetricView, SystemMetricsView
from monitoring.views import ServerInfoView

urlpatterns = [
    path("server/info", ServerInfoView.as_view()),
    path("metrics/system", SystemMetricsView.as_view()),
    path("metrics/application", ApplicationMetricsView.as_view()),
    path("metrics/custom", CustomMetricsView.as_view()),
    path("metrics/custom/<str:metric_name>", CustomMetricView.as_view()),
]
