"""Which files hold keys or passwords by their name and place, in whatever spelling. ADR 0024 says what is on the list and why.

A name counts without what editors, backups and copies add to it: `id_rsa.bak`, `.env~`, `prod.env (copy)`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from recollect import languages

_ADDED: Final = re.compile(  # at the end of a name, by backups, editors and copies
    r"(?:~+|[.\-_ ](?:bak|backup|bkp|bck|old|orig|original|save|saved|sav|prev|previous|copy|tmp|temp|new|disabled|off|rej|"
    r"sw[a-p]|dpkg-(?:old|new|dist)|rpm(?:save|new|orig)|pacsave|deleted|\d{1,14}|\d{4}[-_]\d\d[-_]\d\d|v\d+)~?|"
    r" ?\((?:\d+|copy|copy \d+|old)\)| - copy(?: \(\d+\))?|#|[.\s]+)$"
)
_BEFORE: Final = re.compile(
    r"^(?:#|\.#|\._|copy of |old[-_.]|backup[-_.](?:of[-_.])?|bak[-_.]|(?:\d{4}-?\d\d-?\d\d)[-_.])"
)
_WRAPPED: Final = re.compile(r"\.(?:txt|text|enc|gpg|pgp|asc|age|gz|zip|decrypted|dec|clear|plain|local)$")
_SAMPLE: Final = re.compile(
    r"(?:^|[.\-_ ])(?:example|examples|sample|samples|template|templates|tmpl|tpl|dist|defaults|skeleton|schema|spec|"
    r"example\.\w+|sample\.\w+|template\.\w+)$|\.(?:j2|jinja2?|erb|ejs|mustache|hbs|in|tt|gotmpl|md|markdown|rst|adoc|html?|lock|"
    r"pub|crt|cer|csr|crl|svg|png)$|^(?:example|sample|template)[.\-_]"
)
_EXACT: Final = frozenset(
    """
    pgpass .pg_service.conf dockerconfig .dockerconfig talosconfig omniconfig .boto3 s3config
    winscp.ini confcons.xml mremoteng.xml putty.reg passwd- ntds.dit .xauthority .iceauthority
    .zhistory .viminfo cookies .env .envrc .env.vault .env.keys .dev.vars .netrc _netrc
    .netrc.json .pgpass pgpass.conf .my.cnf .mylogin.cnf .mysql_secret .npmrc .pypirc .htpasswd
    htpasswd .htdigest .htaccess_passwd .git-credentials .gitcredentials .git-credential-store
    .dockercfg .dockerconfigjson dockerconfig.json kubeconfig .kubeconfig admin.conf.kube identity
    secring.gpg secring.pgp .credentials credentials credential .credential .secrets .secret
    secrets secret .passwd .password passwd passwords password .passphrase passphrase .vault-token
    .vault_token .vault_pass .vault-pass vault_pass vault-pass .vault_password .vault-password
    vault_password vault-password vault-password-file ansible_vault_password
    .ansible_vault_password .terraformrc terraform.rc credentials.tfrc.json .s3cfg s3cfg .boto
    boto.cfg .passwd-s3fs .s3curl .ossutilconfig accesstokens.json azureprofile.json
    msal_token_cache.json msal_token_cache.bin service_principal_entries.json
    application_default_credentials.json adc.json access_tokens.db credentials.db
    legacy_credentials gcloud.json google-services.json googleservice-info.plist
    google-credentials.json google_credentials.json gcp-credentials.json gcp-key.json gcp_key.json
    gcs-key.json gcloud-service-key.json service-account.json service_account.json
    serviceaccount.json serviceaccountkey.json service-account-key.json client_secret.json
    client_secrets.json client-secret.json token.json token.pickle token.txt token .token .tokens
    access_token access-token .access_token auth_token .auth_token auth-token api_token api-token
    .api_token .github_token github_token .gitlab_token .slack_token api_key apikey api-key
    .apikey .api_key .api-key api_keys apikeys api-keys apikeys.json api_keys.json api-keys.json
    oauth_token oauth_token.json oauth_creds.json oauth-credentials.json oauth.json auth.json
    private_key privatekey private-key privkey deploy_key deploy-key deploykey secret_key
    secret-key secretkey .secret_key secret_key_base master_key encryption_key encryption-key
    signing_key signing-key ssh_key ssh-key sshkey rsa_key rsa_private rsa_private_key wallet.dat
    wallet.json keystore.json mnemonic seed_phrase seedphrase recovery_codes recovery-codes
    backup_codes backup-codes recovery_phrase .google_authenticator krb5.keytab .k5keytab .wgetrc
    .curlrc _curlrc .fetchmailrc .msmtprc .muttrc .esmtprc .offlineimaprc .mbsyncrc .authinfo
    .smbcredentials .cifscredentials .credentials.json .nmconnection wpa_supplicant.conf
    hostapd.wpa_psk chap-secrets pap-secrets ipsec.secrets .ovpn openvpn-auth .databrickscfg
    .snowsql kaggle.json rclone.conf .rclone.conf ngrok.yml .sentryclirc sentry.properties
    .coveralls.yml .httr-oauth .renviron .openai .anthropic .huggingface .streamlit_secrets
    .pulumi-credentials .pgadmin4 .rhosts wp-config.php localsettings.php config.inc.php
    configuration.php secret_token.rb parameters.yml local.settings.json connectionstrings.config
    sftp-config.json sftp.json .ftpconfig .ftppass .remote-sync.json ftp.json
    deployment-config.json sitemanager.xml recentservers.xml filezilla.xml robomongo.json
    robo3t.json datasources.local.xml webservers.xml credentials-config.json
    data-sources.local.json jenkins.plugins.publish_over_ssh.bapsshpublisherplugin.xml
    credentials.xml hudson.util.secret tomcat-users.xml mgmt-users.properties
    application-users.properties gitlab-secrets.json initial_root_password initialadminpassword
    keystore.properties key.properties signing.properties release-signing.properties
    settings-security.xml .ivy-credentials shadow shadow- gshadow master.passwd .erlang.cookie
    jupyterhub_cookie_secret .cookie_secret rndc.key cookies.txt cookies.sqlite logins.json
    key3.db key4.db signons.sqlite cwallet.sso ewallet.p12 .bash_history .zsh_history .sh_history
    .history .mysql_history .psql_history .sqlite_history .rediscli_history .mongo_history
    .dbshell .python_history .irb_history .pry_history .node_repl_history .lesshst fish_history
    consolehost_history.txt otr.private_key ventrilo_srv.ini .tugboat .gist .hub .netlify-token
    heroku.json knife.pem .restic-password restic-password .borg-passphrase borg-passphrase
    encrypted_data_bag_secret .chef_secret .claude.json hosts.yml.gh .lab.toml glab-cli.yml
    .circleci.yml.local .travis.token .codecov-token .wrangler.toml.local .aws-credentials
    aws-credentials aws_credentials awscredentials.properties credentials.csv accesskeys.csv
    rootkey.csv new_user_credentials.csv aws.json aws-keys.json .gitcookies .slackcat authinfo .vaultpass .tfvars
    ansible_vault_pass .ansible_vault_pass oauth2.json google-services-key.json .dbeaver-data-sources.xml
    """.split()
)
_PATTERN: Final = re.compile(
    r"(?:login|web) data(?: for account)?|[\w.-]*token\.pickle|"
    r"creds(?:\.\w+)?|[\w.-]+[-_.]creds\.\w+|[\w.-]*pull[-_]?secrets?\.\w+|[\w.-]+\.htpasswd|[\w.-]+\.remmina|\.?krb5cc_\w+|"
    r"(?:vault|unseal|init|cluster|root)[-_](?:keys?|token)(?:\.(?:json|txt|ya?ml))?|unseal\.json|registry[-_]auth\.json|"
    r"(?:gcp|gcs|gcloud|google|azure|firebase|sa|aws)[-_]?(?:key|keys|admin|oauth|auth|account)\.json|oauth2?[-_](?:client|token)s?\.json|"
    r"(?!(?:get|create|generate|gen|make|rotate|new|fetch|set|show|print|reset|update|delete|check|decrypt|encrypt|test)[-_])"
    r"\.?[\w-]+[-_](?:token|secrets?|password|passwd|apikey|api[-_]key|secret[-_]key|credentials|psk)|"
    r"(?:[\w-]+[-_])?(?:token|bearer|pat|pw|pwd|pass|passes|psk)\.(?:txt|ya?ml)|tokens\.txt|\.tokens?\.(?:json|ya?ml|toml)|"
    r"logins\.(?:txt|csv)|[\w.-]*(?:bitwarden|lastpass|keepass|1password|dashlane|chrome)[-_](?:export|passwords)[\w.-]*\.(?:json|csv)|"
    r"keepass\.csv|[\w-]*recovery(?:[-_](?:keys?|codes?|phrase))?\.txt|[\w-]*backup[-_]codes\.txt|(?:totp|otp|andotp|authenticator|"
    r"aegis[\w-]*)\.(?:txt|json)|seed(?:[-_](?:words|phrase))?\.txt|[\w-]*keypair\.json|wallet[-_]backup\.\w+|"
    r"\.env[.\-_].+|.+\.env|env\.(?:prod|production|local|dev|development|staging|stage|test|live|secret)|"
    r"env[-_](?:prod|production|local|staging|live)|\.?env\.json|\.(?:dev|prod|staging)\.vars(?:\..+)?|http-client\.private\.env\.json|"
    r"id_(?:rsa|dsa|ecdsa|ed25519|ecdsa_sk|ed25519_sk|xmss)(?:[.\-_].+)?|.+[-_.](?:rsa|dsa|ecdsa|ed25519)|ssh_host_\w+_key|"
    r".+\.(?:pem|key|p8|p12|pfx|pkcs8|pkcs12|jks|jceks|keystore|bks|bcfks|truststore|ppk|kdb|kdbx|kwallet|keychain|keychain-db|keyring|"
    r"psafe3|age|agekey|asc|sec|ovpn|keytab|tfstate|tfvars|pvk|snk|jwk|tblk|cscfg|publishsettings|pubxml\.user|azurepubxml|rdp|"
    r"mobileprovision|provisionprofile|nmconnection|creds|cred|credentials?|secrets?|passwd|passwords?|token|nk|gpg-key|"
    r"opvault|agilekeychain|1pux|1pif|enpass|sqldump|bek|fve|kubeconfig|mysql_secret|authinfo|wgconf)|"
    r".+\.tfstate(?:\.[\w-]+)*|.+\.tfvars\.json|.+-kubeconfig|kubeconfig[.\-_].+|kube[-_]?config(?:\.ya?ml|\.json|\.conf)?|"
    r"[\w.-]*credentials?(?:[.\-_][\w.-]+)?\.(?:json|ya?ml|toml|ini|cfg|conf|properties|xml|csv|txt|plist|env|enc|config)|"
    r"[\w.-]*secrets?(?:[.\-_][\w.-]+)?\.(?:json|json5|ya?ml|toml|ini|cfg|conf|properties|xml|csv|txt|plist|enc|config|exs|auto)|"
    r"[\w.-]*(?:passwords?|passwd|passphrases?|passcodes?)\.(?:json|ya?ml|ini|cfg|conf|properties|csv|txt|xlsx?|kdbx?|db|toml)|"
    r"(?:[\w.-]+[.\-_])?(?:api|access|secret|private|auth|deploy|signing|encryption|master|ssh|aws)[-_]?keys?\.(?:json|ya?ml|ini|cfg|conf|"
    r"properties|csv|txt|toml|xml|plist)|(?:[\w.-]+[.\-_])?(?:auth|access|api|oauth2?|refresh|github|gitlab|slack|bot)[-_]tokens?\."
    r"(?:json|ya?ml|ini|cfg|conf|properties|csv|txt|toml|pickle)|(?:[\w.-]+[-_])?service[-_]?account(?:[-_]?\w+)*\.json|"
    r".+[-_]service[-_]?account.*\.json|client_secret.*\.json|.*firebase-adminsdk.*\.json|authkey_\w+\.p8|utc--.+|"
    r"(?:ansible[-_]?)?vault\.(?:ya?ml|json)|vault[-_](?:pass|password|token)(?:\.\w+)?|appsettings\.(?:local|secrets?)\.json|"
    r"(?:mnemonic|seed[-_]?phrase|recovery[-_](?:codes?|phrase)|backup[-_]codes?)\.(?:txt|json|md)|wg\d+\.conf|"
    r"\.[\w-]+[-_](?:token|secret|password|passwd|apikey|api[-_]key|credentials)|oauth[-_]creds?.*\.json|"
    r"[\w-]+[-_](?:private|secret)[-_]key"
)
_SUFFIX_ONLY_CODE: Final = frozenset("env exs key".split())  # endings that a language has too
_ORDINARY: Final = frozenset(  # endings of source and documents, which no secret's name has
    extension
    for language in languages.LANGUAGES.values()
    if language.content in ("code", "docs") and language.name != "text"
    for extension in language.extensions
) - {"exs", "pub", "cl", "text", "txt"}
_FOLDERS: Final = frozenset({".ssh", ".gnupg", ".password-store", ".gcloud", ".1password", ".keychain", ".keys"})
_IN_FOLDERS: Final = re.compile(  # paths, of folders that hold other files as well
    r"(?:^|/)(?:\.envs/.+|\.(?:doctl|snowsql|lftp|irssi|pgadmin|anthropic|openai|talos|putty|sops)/.+|age/keys\.txt|\.docker/key\.json|"
    r"\.ansible/vault[^/]*|\.aws/(?:config|sso/.+|cli/cache/.+|credentials.*)|\.docker/(?:config\.json|.*\.pem|trust/.+)|\.kube/(?:config.*|cache/.+)|"
    r"\.azure/(?:[^/]*(?:token|profile|credential|principal|msal)[^/]*|[^/]*\.(?:bin|json|cache))|\.cargo/credentials.*|\.gem/credentials|"
    r"\.config/(?:gcloud|gh|hub|glab-cli|op|rclone|doctl|stripe|configstore|sops|containers|github-copilot|heroku|flyctl|fly|"
    r"linode-cli|filezilla|hcloud|scw|ngrok|git/credentials|gitui|keybase|bitwarden[^/]*|libsecret|google-chrome|chromium|"
    r"browseruse|nats|cachix|netlify|solana|wrangler|wireguard|onepassword|1password)(?:/.+)?|\.local/share/keyrings/.+|"
    r"\.m2/settings.*\.xml|\.gradle/(?:gradle\.properties|.*\.keystore)|\.ivy2/\.credentials|\.sbt/.*credentials.*|\.bundle/config|"
    r"\.nuget/nuget\.config|\.composer/auth\.json|\.claude/\.credentials.*|\.codex/auth.*|\.gemini/(?:oauth.*|google.*|.*token.*)|"
    r"\.terraform\.d/.+\.(?:json|tfrc)|\.pulumi/credentials.*|\.oci/.+|\.bluemix/.+|\.aliyun/.+|\.kaggle/.+|\.huggingface/token.*|"
    r"\.cache/huggingface/(?:token|stored_tokens).*|\.snowflake/.+|\.dbt/profiles\.ya?ml|\.fly/config\.ya?ml|\.railway/config\.json|"
    r"\.circleci/cli\.ya?ml|\.travis/config\.ya?ml|\.ngrok2/.+|\.mc/config\.json|\.wrangler/.*default\.toml|\.supabase/access-token|"
    r"\.expo/state\.json|\.netlify/config\.json|\.vercel/auth\.json|\.heroku/.+|\.jupyter/.*config\.json|\.subversion/auth/.+|"
    r"\.mozilla/.+|\.thunderbird/.+|\.purple/accounts\.xml|\.weechat/sec\.conf|\.vagrant/.*private_key|\.streamlit/secrets.*|"
    r"\.vscode/sftp\.json|\.idea/(?:webservers|datasources\.local|deployment)\.xml|\.circleci/\.env|\.minikube/.*\.key|"
    r"etc/(?:shadow|gshadow|sudoers|ppp/.*secrets|wireguard/.+\.conf)|secrets/master\.key|\.npm/_auth.*|\.yarn/.*auth.*|"
    r"\.databricks/.+|\.sentry/.+\.token|\.config/.*(?:credentials|secrets?|tokens?)(?:\.\w+)?)$"
)
_TRANSLATED: Final = re.compile(r"(?:^|/)(?:locales?|i18n|l10n|lang|langs|languages|translations?|intl)/")


def is_secret(path: str) -> bool:
    """Whether the name or the place of a file says that it holds keys or passwords."""
    folder, _, name = path.rpartition("/")
    if folder and _is_secret_folder(folder):
        return True
    if (
        name.rpartition(".")[2] in _ORDINARY
        and name.isascii()
        and not name.lower().startswith(".env.")
        and name.lower() not in _EXACT
    ):
        return False  # most files end here
    return _is_secret_name(name) or (("/." in path or path.startswith(".") or folder != "") and _is_in_folders(path))


@lru_cache(4096)
def _is_secret_folder(folder: str) -> bool:
    folded = _folded(folder)
    return not _FOLDERS.isdisjoint(folded.split("/")) or bool(_IN_FOLDERS.search(folded + "/-"))


@lru_cache(4096)
def _is_secret_name(name: str) -> bool:
    return any(map(_names_secret, _names(_folded(name))))


def _is_in_folders(path: str) -> bool:
    folder, _, name = _folded(path).rpartition("/")
    return any(_IN_FOLDERS.search(f"{folder}/{shorter}") for shorter in _names(name))


def is_translation(path: str) -> bool:
    """Whether a file lies among texts for users in several languages (`locales/en/auth.json`)."""
    return bool(_TRANSLATED.search(_folded(path)))


def _folded(path: str) -> str:
    """One spelling for all that Unicode, case and file systems make equal; without dots and spaces at the end of names."""
    plain = path.casefold().replace("\\", "/")
    if not (path.isascii() and path.isprintable()):
        plain = unicodedata.normalize("NFKC", plain).casefold()
        plain = "".join(character for character in plain if unicodedata.category(character) not in ("Cf", "Cc"))
    parts = [part.strip().rstrip(". ") for part in plain.split("/")]
    return "/".join(part for part in parts if part)


def _names(name: str) -> list[str]:
    """A name, and what it was before copies and editors added to it."""
    names = [name]
    for _ in range(8):
        shorter = _BEFORE.sub("", _ADDED.sub("", name))
        if shorter == name and re.search(r"\.sw[a-p]$", names[0]) and name.startswith("."):
            shorter = name[1:]  # vim's: `.id_rsa.swp`
        if shorter == name or not shorter:
            break
        name = shorter
        names.append(name)
    if names[0].startswith(".") and re.search(r"\.sw[a-p]$", names[0]):
        names.append(names[-1].removeprefix("."))
    return names


def _names_secret(name: str) -> bool:
    if name in _EXACT:
        return True
    if _SAMPLE.search(name):
        return False
    extension = name.rpartition(".")[2]
    if name.startswith(".env.") and not name.endswith(".d.ts"):
        return True
    if "." in name and languages.detect(name).content == "code" and extension not in _SUFFIX_ONLY_CODE:
        return False
    if _PATTERN.fullmatch(name):
        return True
    bare = _WRAPPED.sub("", name)
    return bare != name and bool(bare) and _names_secret(bare)
