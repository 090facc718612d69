"""API paths of this app, without a trailing slash as in the reference."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from mailqueue.log_viewsets import MessageViewSet
from mailqueue.views import QueuePurgeView, QueueRetryView, QueueStatusView
from mailqueue.viewsets import QueuedMessageViewSet, QueuePurgeViewSet
from mailqueue.webhook_viewsets import WebhookViewSet

router = SimpleRouter(trailing_slash=False)
router.register("queue/messages", QueuedMessageViewSet, "queued-message")
router.register("queue/purges", QueuePurgeViewSet, "queue-purge")
router.register("messages", MessageViewSet, "message")
router.register("webhooks", WebhookViewSet, "webhook")
urlpatterns: list[URLPattern | URLResolver] = [
    *router.urls,
    path("queue/status", QueueStatusView.as_view()),
    path("queue/retry", QueueRetryView.as_view()),
    # The names of lanes come last: anything may stand there, and is 404.
    path("queue/<str:queue_name>", QueuePurgeView.as_view()),
]
