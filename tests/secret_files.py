"""Names of files that commonly hold secrets, and of files that only look so: what `recollect.secrets.names` is measured by."""

from __future__ import annotations

SECRET_NAMES = """
.env .env.local .env.production .env.development .env.test .env.staging .env.backup .env.bak .env~
.env.old .env.prod .env.keys .env.vault .env.local.bak prod.env app.env docker.env production.env
web.local.env .envrc env.production .dev.vars .env-prod .env_local id_rsa id_dsa id_ecdsa
id_ed25519 id_ed25519_sk id_ed25519_work id_rsa_github id_rsa.bak id_rsa.old id_rsa.1 id_rsa~
id_rsa.txt id_rsa-backup .id_rsa.swp id_rsa.orig id_rsa.save keys/id_rsa.copy deploy_rsa
github_rsa deploy_key ssh_host_rsa_key ssh_host_ed25519_key identity .ssh/config .ssh/known_hosts
.ssh/work dotfiles/.ssh/anything .gnupg/private-keys-v1.d/A1B2.key secring.gpg
.password-store/mail.gpg server.pem server.key privkey.pem tls.key ca-key.pem private.key
privatekey.pem cert.p12 cert.pfx AuthKey_ABC123.p8 store.jks release.keystore putty.ppk vault.kdbx
vault.kdb key.pkcs12 private.asc secret.asc master.key rsa_private_key private_key keys.agekey
app.jceks .netrc _netrc .pgpass pgpass.conf .my.cnf .mylogin.cnf .npmrc .pypirc .htpasswd
.htdigest .git-credentials .gitcredentials .dockercfg .docker/config.json .dockerconfigjson
kubeconfig .kube/config prod.kubeconfig kubeconfig.yaml kubeconfig-prod kube-config.yml
credentials credentials.json credentials.yml credentials.xml .aws/credentials .aws/config
.aws/sso/cache/x.json aws_credentials .cargo/credentials .cargo/credentials.toml .gem/credentials
.config/gh/hosts.yml .config/hub .config/gcloud/credentials.db
.config/gcloud/application_default_credentials.json application_default_credentials.json
.config/rclone/rclone.conf rclone.conf .m2/settings.xml .m2/settings-security.xml
.gradle/gradle.properties .ivy2/.credentials .bundle/config .composer/auth.json auth.json
service-account.json service_account.json serviceAccountKey.json gcp-key.json
my-project-service-account.json client_secret.json
client_secret_123.apps.googleusercontent.com.json client_secrets.json firebase-adminsdk-x1y2.json
myapp-firebase-adminsdk-abc.json google-services.json GoogleService-Info.plist token.json
token.pickle oauth_token.json oauth_creds.json .gemini/oauth_creds.json .claude/.credentials.json
.codex/auth.json .claude.json secrets.yml secrets.yaml secrets.json secret.yaml secrets.toml
.streamlit/secrets.toml secrets.env secrets.txt .secrets .secret secrets secrets.ini
secrets.properties app-secrets.json secrets.prod.yaml config/secrets.exs prod.secret.exs
terraform.tfstate terraform.tfstate.backup prod.tfstate terraform.tfvars prod.auto.tfvars
terraform.tfvars.json .terraformrc terraform.rc credentials.tfrc.json
.terraform.d/credentials.tfrc.json .vault-token .vault_pass .vault_pass.txt vault-password-file
vault.yml group_vars/all/vault.yml passwords.txt password.txt passwords.csv passwd.txt
passwords.xlsx .passwd api_key.txt apikeys.json api_keys.yml access_token.txt auth_token
.github_token .slack-token secret_key.txt secret_key_base private_key.json encryption.key
signing.key jwt.key jwt-private.pem .s3cfg .boto .passwd-s3fs accessTokens.json azureProfile.json
.azure/msal_token_cache.json my.publishsettings site.pubxml.user local.settings.json
appsettings.secrets.json ServiceConfiguration.Cloud.cscfg kaggle.json .kaggle/kaggle.json
.databrickscfg .snowflake/config wp-config.php wp-config.php.bak LocalSettings.php
config/initializers/secret_token.rb config/master.key config/credentials.yml.enc sftp-config.json
.vscode/sftp.json .ftpconfig sitemanager.xml recentservers.xml filezilla.xml robomongo.json
.idea/dataSources.local.xml tomcat-users.xml jenkins/credentials.xml hudson.util.Secret
secrets/master.key gitlab-secrets.json keystore.properties key.properties client.ovpn wg0.conf
krb5.keytab ipsec.secrets chap-secrets wpa_supplicant.conf home.nmconnection .smbcredentials
.fetchmailrc .msmtprc .bash_history .zsh_history .mysql_history .psql_history .python_history
shadow etc/shadow cookies.txt logins.json key4.db wallet.dat UTC--2024-01-31T00-00-00Z--abc
.erlang.cookie .rhosts .sentryclirc .wgetrc .curlrc .httr-oauth .Renviron recovery-codes.txt
mnemonic.txt ID_RSA .ENV.Production Id_Ed25519 .Env SERVER.PEM Credentials.JSON .env. .env..
id_rsa. ．env id_rsa.bak.old ".env (copy)" "id_rsa (1)" "Copy of .env" ".env copy"
credentials.json.bak secrets.yaml.orig server.key.2024-01-31 .env.1 #.env# .#.env ._.env
id_rsa.rpmsave credentials.json~ .env.save terraform.tfstate.1706700000.backup key.pem.old
privkey1.pem fullchain-key.pem .env.sh .envs/.production/.postgres creds.json db_creds.json
aws-creds.csv pgpass .pg_service.conf .dockerconfig .docker/config.json.bak imagepullsecret.json
registry-auth.json talosconfig vault-keys.json unseal-keys.txt root_token firebase-admin.json
gcloud-key.json sa-key.json slack_token gh_token client_secret jwt_secret cookie_secret
l2tp-secrets refresh_token bearer.txt tokens.txt telegram_token.txt pw.txt mypasswords.txt
logins.csv bitwarden_export_2024.json recovery-key.txt 2fa-backup-codes.txt totp.txt
aegis-backup.json validator-keypair.json users.htpasswd WinSCP.ini .Xauthority .zhistory
http-client.private.env.json .circleci/cli.yml .npmrc.bak .gitcookies "Login Data" keys.txt.age
.krb5cc_0 authinfo .vaultpass ansible_vault_pass oauth2.json .tfvars google-services-key.json
google_token.pickle .dbeaver-data-sources.xml .slackcat .doctl/config.yaml .snowsql/config
.lftp/bookmarks .irssi/config .pgadmin/servers .ansible/vault .anthropic/key .talos/config
.docker/key.json age/keys.txt
""".replace('"', "\x00")

HARMLESS_NAMES = """
.env.example .env.sample .env.template .env.dist .env.defaults example.env sample.env
.env.example.txt env.py environment.ts env.d.ts vite-env.d.ts id_generator.py id_rsa.pub
id_ed25519.pub id_rsa-cert.pub id_rsa_test.go id_map.json identity.py identity.go Identity.cs
user_identity.rb keys.py keys.go keys.ts Keys.java keyboard.c key.rs keyring.py keystore.go
KeyStore.java key_manager.py keymap.json keybindings.json keywords.txt secret_santa.rb secrets.py
secret.go secrets.rs Secret.java secrets_test.go secret_manager.ts SecretService.kt secrets.tf
secret.tf secrets.md secrets.rst credentials.py credentials_test.go credentials.ts
CredentialsProvider.java credential_helper.c credentials.rb aws_credentials.go credentials.md
password_reset.html.erb passwords_controller.rb password.py password_hasher.go password.tsx
Password.vue reset-password.html passwords.md password.svg token.go tokens.go token.py
tokenizer.json tokenizer_config.json tokens.json tokens.css token_test.go Tokenizer.cpp
design-tokens.json special_tokens_map.json auth.py auth.go auth.ts authentication.md authorize.php
oauth.py oauth2.go oauth_test.rb api_keys.md api_keys_controller.rb api-key.service.ts apikey.go
known_hosts authorized_keys allowed_signers ssh_config sshd_config ssh.go ssh_key.py server.crt
ca.cer chain.crt request.csr public.pub cert.pub docker-compose.yml Dockerfile config.json
config.yml .dockerignore docker/config.py kube/config.go kubeconfig.go kubeconfig_test.go
variables.tf main.tf outputs.tf terraform.tfvars.example terraform.py .terraform.lock.hcl
backend.tf state.tf application.yml application.properties settings.py settings.json
settings.gradle gradle.properties local.properties database.yml appsettings.json package.json
.npmignore .yarnrc .editorconfig .gitconfig .gitignore .gitattributes .bashrc .zshrc .vimrc
.eslintrc.json tsconfig.json vault.go vault.py vault.tf vault.md history.py history.md HISTORY.md
shadow.css shadow.ts box-shadow.scss wallet.py wallet.sol service_account.py service-account.tf
serviceaccount.yaml rbac.yaml wp-config-sample.php cookie.py cookies.js cookies.ts
secrets.yaml.example secrets.example.yml credentials.json.example config.example.json
secrets.sample.json settings.template.json environment.yml environment.yaml requirements.txt
requirements.in openapi.yaml schema.graphql manifest.json license.key.md bin/get-token
bin/generate-password stop_tokens.txt special_tokens.txt env.sh env.js my.cnf pip.conf gen-secret
oauth.go password_strength.js tokens.scss cookies.md passphrase.rs backup.txt recovery.md seed.sql
seeds.rb passages.txt compass.yml pathways.yml keyboard.json monkey.json README.md LICENSE
CHANGELOG.md Makefile pass.py compass.rb bypass.c pin.c pinning.md session.py sessions.go
signature.ts hmac.c .aws/task-definition.json .docker/Dockerfile .docker/nginx.conf
.kube/deployment.yaml .azure/pipelines.yml .config/nextest.toml .config/dotnet-tools.json
.claude/settings.json .claude/commands/review.md .codex/AGENTS.md .cargo/config.toml .m2/readme.md
.vscode/settings.json
"""


def secret_names() -> list[str]:
    """The names, each of which a file may have; some hold spaces."""
    parts = SECRET_NAMES.split("\x00")
    names = [name for number, part in enumerate(parts) for name in ([part] if number % 2 else part.split())]
    return list(dict.fromkeys(names))


def harmless_names() -> list[str]:
    return list(dict.fromkeys(HARMLESS_NAMES.split()))
