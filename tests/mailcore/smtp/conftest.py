"""What strangers did in one test is not held against those of the next."""

import pytest

from mailcore.smtp.strangers import strangers


@pytest.fixture(autouse=True)
def _nobody_is_known():
    strangers.forget()
    yield
    strangers.forget()
