"""API paths of this app, without a trailing slash as in the reference. Networks have a slash in them."""

from django.urls import path

from security.views import ChecksView, OverviewView, RateLimitsView
from security.viewsets import AllowedNetworkViewSet, AuditLogViewSet, BlockedAddressViewSet

urlpatterns = [
    path("security/overview", OverviewView.as_view()),
    path("security/checks", ChecksView.as_view()),
    path("security/blocked-ips", BlockedAddressViewSet.as_view({"get": "list"})),
    path("security/block-ip", BlockedAddressViewSet.as_view({"post": "create"})),
    path(
        "security/blocked-ips/<path:ip_address>",
        BlockedAddressViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
    ),
    path("security/allowed-ips", AllowedNetworkViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "security/allowed-ips/<path:ip_address>",
        AllowedNetworkViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
    ),
    path("security/audit-logs", AuditLogViewSet.as_view({"get": "list"})),
    path("security/rate-limits", RateLimitsView.as_view()),
]
