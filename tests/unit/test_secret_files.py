import json

import pytest

from recollect.index.skip import skip
from recollect.secrets.contents import secret
from recollect.secrets.names import is_secret
from tests.secret_files import harmless_names, secret_names
from tests.secret_texts import AWS_SECRET, B64_88, block, opaque

KEY = block("RSA PRIVATE KEY")


@pytest.mark.parametrize("name", secret_names())
def test_a_common_name_of_a_secret_file_is_left_out(name: str) -> None:
    assert is_secret(name)
    assert is_secret(f"deploy/{name}")
    assert skip(name, b"something that nobody should read\n") == "secret"


@pytest.mark.parametrize("name", harmless_names())
def test_a_name_that_only_looks_alike_is_not(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", KEY),
        ("data/blob", block("OPENSSH PRIVATE KEY")),
        ("config/app.yaml", "tls:\n  key: |\n" + "".join(f"    {line}\n" for line in KEY.split("\n"))),
        ("gcp/prod.json", json.dumps({"type": "service_account", "private_key": block("PRIVATE KEY") + "\n"})),
        ("backup.conf", f"[default]\naws_secret_access_key = {AWS_SECRET}\n"),
        ("cluster", "apiVersion: v1\nkind: Config\nusers:\n- user:\n    client-key-data: " + B64_88 + "\n"),
        ("docker.json", '{"auths": {"ghcr.io": {"auth": "YWRhOmh1bnRlcjItWGs5IXE="}}}'),
        ("npm-settings", f"//registry.npmjs.org/:_authToken={opaque(36)}\n"),
        ("ftp-login", "machine ftp.example.com login ada password hunter2\n"),
        ("state.json", '{"version": 4, "terraform_version": "1.7.0", "serial": 3, "lineage": "x", "resources": []}'),
        ("db.yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: aHVudGVyMi1YazkhcQ==\n"),
        ("key.json", json.dumps({"kty": "RSA", "n": opaque(86), "e": "AQAB", "d": opaque(86, "d")})),
        ("vpn.conf", f"[Interface]\nPrivateKey = {B64_88[:43]}=\nAddress = 10.0.0.2/32\n"),
        ("settings", f"# production\nDB_HOST=db\nDB_PASSWORD=hunter2-Xk9!q\nAPI_TOKEN={opaque(30)}\n"),
        ("nuget.xml", '<add key="ClearTextPassword" value="hunter2" />'),
        ("putty", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAA\n"),
        ("age.txt", "# created: 2024\nAGE-SECRET-KEY-1" + opaque(58, "", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
        ("windows.txt", "\ufeff" + KEY),
        ("key.py", KEY),
        ("short.txt", "-----BEGIN PRIVATE KEY-----\nMIIfake\n-----END PRIVATE KEY-----\n"),
        ("short.json", '{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIfake\\n-----END PRIVATE KEY-----"}'),
        ("admin.conf", "apiVersion: v1\nkind: Config\nusers:\n- user:\n    token: abcdef.0123456789\n"),
        ("pip.conf", "[global]\nindex-url = https://ada:hunter2-Xk9@pypi.example.com/simple\n"),
        ("config/database.yml", "production:\n  username: ada\n  password: hunter2-Xk9\n"),
        ("gradle.properties", "org.gradle.daemon=true\nsigning.password=hunter2-Xk9\n"),
        ("hub", "github.com:\n- user: ada\n  oauth_token: " + opaque(40) + "\n"),
        ("tokens.json", '{"refresh_token": "' + opaque(40) + '"}'),
    ],
)
def test_a_content_that_is_a_secret_is_left_out_whatever_it_is_called(name: str, content: str) -> None:
    data = content.encode("utf-16" if name == "windows.txt" else "utf-8")
    assert not is_secret(name)
    assert skip(name, data) == "secret"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("book/chapter.asc", "[[keys]]\n== Keys\n\nRun `ssh-keygen`, then keep the passphrase.\n"),
        ("tokens.json", '{"color": {"primary": {"value": "#ff0000"}}}'),
        ("config/database.yml", "production:\n  password: <%= ENV['DB_PASSWORD'] %>\n"),
        ("pip.conf", "[global]\nindex-url = https://pypi.org/simple\n"),
        ("locale/de/passwords.yml", "de:\n  passwords:\n    edit: Kennwort aendern\n"),
        ("LICENSE.asc", "This work is licensed under terms that let you share it with all of your friends at home.\n"),
        ("release.asc", "-----BEGIN PGP SIGNATURE-----\n\niQEzBAABCAAdFiEE\n-----END PGP SIGNATURE-----\n"),
        ("bin/client_secret", "#!/bin/sh\nexec vault read secret/client\n"),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUabc\n-----END CERTIFICATE-----\n"),
        ("jwt.key", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0C\n-----END PUBLIC KEY-----\n"),
        ("templates/secret.yaml", "apiVersion: v1\nkind: Secret\ndata:\n  password: {{ .Values.password | b64enc }}\n"),
        ("secrets.yaml", "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nspec:\n  secretStoreRef:\n    name: vault\n"),
        ("secret.yml", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  encryptedData:\n    a: AgBy3i4OJ\n"),
        (".github/workflows/secrets-scan.yml", "name: scan\non: push\njobs:\n  scan:\n    runs-on: ubuntu-latest\n"),
        ("locales/en/auth.json", '{"password": "Password", "token": "Token"}'),
        ("credentials.json", '{"$schema": "http://json-schema.org/x", "properties": {"password": {"type": "string"}}}'),
        ("vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6231\n"),
        ("tests/test_tls.py", f'KEY = """{KEY}"""\n' + "\n".join(f"def test_{n}() -> None:\n    assert True" for n in range(99))),
        ("docs/keys.md", "A key file begins with `-----BEGIN RSA PRIVATE KEY-----` and ends likewise.\n" * 3),
        ("detect.go", 'const marker = "-----BEGIN PRIVATE KEY-----"\n// -----END PRIVATE KEY-----\n'),
        ("values.yaml", "auth:\n  password: changeme\n  existingSecret: db\n"),
        ("compose.yaml", "services:\n  db:\n    environment:\n      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}\n"),
        ("app.json", '{"name": "shop", "auth": "none"}'),
        ("Makefile", "PYTHON=python3\nTOKEN=\nall:\n\t$(PYTHON) run.py\n"),
    ],
)  # fmt: skip
def test_a_content_that_only_speaks_of_secrets_is_kept(name: str, content: str) -> None:
    assert not secret(name, content.encode())


@pytest.mark.parametrize("mark", ["kind: Config", "PrivateKey =", "kind: Secret\n"])
def test_empty_lines_without_end_are_read_in_linear_time(mark: str) -> None:
    assert not secret("notes.txt", mark.encode() + b"\n" * 400_000)  # took minutes
