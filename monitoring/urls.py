"""API paths of this app, without a trailing slash as in the reference."""

from django.urls import path

from monitoring.metric_views import ApplicationMetricsView, CustomMetricsView, CustomMetricView, SystemMetricsView
from monitoring.performance_views import OptimizationViewSet, OptimizeView, PerformanceStatsView, RecommendationsView
from monitoring.server_views import (
    HealthCheckView,
    HealthDetailedView,
    ServerInfoView,
    ServerReloadView,
    ServerRestartView,
)

urlpatterns = [
    path("server/info", ServerInfoView.as_view()),
    path("server/restart", ServerRestartView.as_view()),
    path("server/reload", ServerReloadView.as_view()),
    path("metrics/system", SystemMetricsView.as_view()),
    path("metrics/application", ApplicationMetricsView.as_view()),
    path("metrics/custom", CustomMetricsView.as_view()),
    path("metrics/custom/<str:metric_name>", CustomMetricView.as_view()),
    path("health/detailed", HealthDetailedView.as_view()),
    path("health/check/<str:component>", HealthCheckView.as_view()),
    path("performance/stats", PerformanceStatsView.as_view()),
    path("performance/recommendations", RecommendationsView.as_view()),
    path("performance/optimize", OptimizeView.as_view()),
    path("performance/optimizations", OptimizationViewSet.as_view({"get": "list"})),
    path("performance/optimizations/<str:optimization_id>/revert", OptimizationViewSet.as_view({"post": "revert"})),
]
