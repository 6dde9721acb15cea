import pytest

from recollect import errors


@pytest.mark.parametrize(
    "cls", [errors.UserError, errors.Unavailable, errors.Refused, errors.Corrupt, errors.Cancelled]
)
def test_an_error_crosses_the_socket_whole(cls: type[errors.RecollectError]) -> None:
    sent = cls("what happened", hint="what helps", code="precisely")
    received = errors.from_dict(sent.to_dict())
    assert type(received) is cls
    assert received.to_dict() == sent.to_dict()
    assert (sent.code, cls("what happened").code) == ("precisely", cls.code)


def test_credentials_are_cut_out_of_urls() -> None:
    error = errors.UserError("cannot read https://me:secret@example.org/x.git")
    assert "secret" not in error.message
    assert "https://example.org/x.git" in error.message
