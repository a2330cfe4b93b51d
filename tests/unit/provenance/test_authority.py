import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from memorial_tasks.errors import InputRefused
from memorial_tasks.provenance import authority


def test_made_once_and_loaded_after(tmp_path):
    first = authority.create_authority(tmp_path / "ca")
    assert authority.create_authority(tmp_path / "ca") == first
    for path in (tmp_path / "ca").glob("*key*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_leaf_is_what_c2pa_asks_for(tmp_path):
    credential = authority.create_authority(tmp_path)
    leaf, root = x509.load_pem_x509_certificates(credential.chain_pem.encode())
    leaf.verify_directly_issued_by(root)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=367)


def test_only_the_leaf_is_renewed_near_its_end(tmp_path):
    long_ago = datetime.now(UTC) - timedelta(days=350)
    old = authority.create_authority(tmp_path, long_ago)
    new = authority.create_authority(tmp_path)
    assert new.anchors_pem == old.anchors_pem
    assert new.chain_pem != old.chain_pem
    assert new.key_pem != old.key_pem


def test_a_development_certificate_is_refused_in_production(tmp_path):
    credential = authority.create_authority(tmp_path)
    assert authority.is_development(credential.chain_pem)
    authority.check_credential(credential, production=False)
    with pytest.raises(InputRefused) as error:
        authority.check_credential(credential, production=True)
    assert [problem.code for problem in error.value.problems] == ["signing.development"]


def test_key_of_another_and_expired_leaf_and_rubbish_are_refused(tmp_path):
    one, two = (authority.create_authority(tmp_path / name) for name in "ab")
    mixed = authority.StoredCredential(one.chain_pem, two.key_pem, one.anchors_pem)
    with pytest.raises(InputRefused, match="belong together"):
        authority.check_credential(mixed, production=False)
    with pytest.raises(InputRefused, match="not valid today"):
        authority.check_credential(one, production=False, now=datetime.now(UTC) + timedelta(days=400))
    with pytest.raises(InputRefused, match="cannot be read"):
        authority.check_credential(authority.StoredCredential("x", "y", "z"), production=False)


def test_keys_do_not_show_in_a_repr(tmp_path):
    assert "PRIVATE" not in repr(authority.create_authority(tmp_path))
