"""API paths of this app, without a trailing slash as in the reference."""

from rest_framework.routers import SimpleRouter

from domains.viewsets import DomainViewSet

router = SimpleRouter(trailing_slash=False)
router.register("domains", DomainViewSet, "domain")
urlpatterns = router.urls
