"""API paths of this app, without a trailing slash as in the reference."""

from rest_framework.routers import SimpleRouter

from accounts.viewsets import ApiKeyViewSet, UserViewSet

router = SimpleRouter(trailing_slash=False)
router.register("users", UserViewSet, "user")
router.register("auth/keys", ApiKeyViewSet, "api-key")
urlpatterns = router.urls
