"""Tokens and keys that are known by their own form, whatever stands around them.

The forms are those that the issuers document; many were compared with the rules of gitleaks (MIT licence).
"""

from __future__ import annotations

from typing import Final

TOKENS: Final = """
AWS key            \\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\\b
AWS token          \\bABSK[A-Za-z0-9+/]{109,}=*|\\b(?:FwoGZXIvYXdz|IQoJb3JpZ2lu)[A-Za-z0-9+/]{60,}=*
GitHub token       \\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})
GitLab token       \\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas|ffct|oat)-[A-Za-z0-9_.-]{18,}|\\bGR1348941[\\w-]{20,}
Atlassian token    \\b(?:ATATT3|ATCTT3|ATBB)[A-Za-z0-9_=-]{20,}
API key            \\bsk-(?:ant|proj|or|svcacct|admin|lf|live|test)-[A-Za-z0-9_-]{20,}|\\bsk-[A-Za-z0-9]{20,}\\b
Stripe key         \\b(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{10,}|\\bwhsec_[A-Za-z0-9+/]{20,}=*
Slack token        \\bxox[abceoprs](?:\\.xox[bp])?-[A-Za-z0-9-]{10,}|\\bxapp-[0-9]-[A-Za-z0-9-]{20,}
webhook            hooks\\.slack\\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20,}
webhook            discord(?:app)?\\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{15,}/[\\w-]{40,}
webhook            webhook\\.office\\.com/webhookb2/[\\w@-]{36,}/IncomingWebhook/[\\w/-]{30,}
webhook            \\bhooks\\.zapier\\.com/hooks/catch/[0-9]+/\\w{5,}
Google key         \\bAIza[0-9A-Za-z_-]{35}
Google secret      \\bGOCSPX-[\\w-]{20,}|\\bya29\\.[\\w.-]{20,}|\\b1//0[\\w-]{30,}
package token      \\bnpm_[A-Za-z0-9]{30,}|\\bpypi-AgE[\\w-]{20,}|\\bpypi-[A-Za-z0-9_-]{50,}|\\brubygems_[0-9a-f]{40,}
package token      \\bcio[A-Za-z0-9]{32}\\b|\\boy2[a-z0-9]{43}\\b|\\bCLOJARS_[A-Za-z0-9]{50,}|\\bNpmToken\\.[\\w-]{30,}
Docker token       \\bdckr_(?:pat|oat)_[\\w-]{20,}
JSON web token     \\bey[JI][A-Za-z0-9_-]{10,}\\.ey[A-Za-z0-9_-]{10,}\\.[A-Za-z0-9_-]{10,}
JSON web token     \\beyJ[A-Za-z0-9_-]{10,}\\.[\\w-]*\\.[\\w-]{8,}\\.[\\w-]{16,}\\.[\\w-]{10,}
SendGrid key       \\bSG\\.[\\w-]{16,}\\.[\\w-]{16,}
Twilio key         \\bSK[0-9a-f]{32}\\b
Mailgun key        \\b(?:key|pubkey)-[0-9a-f]{32}\\b
Mailchimp key      \\b[0-9a-f]{32}-us[0-9]{1,2}\\b
Brevo key          \\bxkeysib-[0-9a-f]{40,}-\\w{10,}|\\bxsmtpsib-[0-9a-f]{40,}-\\w{10,}
Telegram token     \\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\\b
Discord token      \\b[MNO][A-Za-z0-9_-]{23,27}\\.[\\w-]{6}\\.[\\w-]{27,}
Hugging Face token \\b(?:hf|api_org)_[A-Za-z0-9]{30,}
API key            \\b(?:gsk|r8|pplx|xai|nvapi|tgp_v1|jina|fw|csk|lsv2_pt|lsv2_sk|pcsk|voyage|pa)[-_][A-Za-z0-9_]{32,}
HashiCorp token    \\b[A-Za-z0-9]{14}\\.atlasv1\\.[\\w=-]{40,}|\\bhv[sbr]\\.[\\w-]{20,}
DigitalOcean token \\bdo[opr]_v1_[0-9a-f]{40,}
Heroku key         \\bHRKU-[\\w-]{30,}
Shopify token      \\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}
Square token       \\bsq0[a-z]{3}-[\\w-]{22,}|\\bEAAA[\\w-]{60}\\b
PayPal token       \\baccess_token\\$(?:production|sandbox)\\$[0-9a-z]{16}\\$[0-9a-f]{32}
Facebook token     \\bEAA[A-Za-z0-9]{80,}
Twitter token      \\bA{18,}[A-Za-z0-9]{5,}%[A-Za-z0-9%]{10,}
Dropbox token      \\bsl\\.(?:u\\.)?[\\w-]{100,}
Databricks token   \\bdapi[0-9a-f]{32}(?:-[0-9])?\\b|\\bdkea[0-9a-f]{32}\\b
Doppler token      \\bdp\\.(?:pt|st|ct|sa|scim|audit)\\.[\\w.-]{40,}
Linear token       \\blin_(?:api|oauth)_[A-Za-z0-9]{32,}
Notion token       \\bsecret_[A-Za-z0-9]{43}\\b|\\bntn_[A-Za-z0-9]{40,}
Airtable token     \\bpat[A-Za-z0-9]{14}\\.[0-9a-f]{60,}
Figma token        \\bfig[dour]_[\\w-]{20,}
Postman key        \\bPMA[KT]-[\\w-]{26,}
PlanetScale token  \\bpscale_(?:tkn|pw|oauth)_[\\w.=-]{30,}
Supabase key       \\bsbp_[0-9a-f]{40}|\\bsb_secret_[\\w-]{20,}
Grafana token      \\bgl(?:sa|c)_[A-Za-z0-9+/_=-]{30,}|\\beyJrIjoi[A-Za-z0-9]{50,}=*
New Relic key      \\bNR(?:AK|II|IQ|RA|BR|SP|JS)-[\\w-]{19,}
Sentry token       \\bsntr[ysu]s?_[A-Za-z0-9+/_=-]{40,}
Dynatrace token    \\bdt0[a-z][0-9]{2}\\.[A-Z0-9]{24}\\.[A-Z0-9]{60,}
Artifactory key    \\bAKCp[A-Za-z0-9]{60,}|\\bcmVmdGtu[A-Za-z0-9]{50,}
Fly token          \\bfo1_[\\w-]{40,}|\\bfm[12][ar]?_[A-Za-z0-9+/=]{80,}
Netlify token      \\bnf[pco]_[A-Za-z0-9]{36,}
Vercel token       \\bvc[pikar]_[A-Za-z0-9]{40,}|\\bvercel_blob_rw_\\w{30,}
Cloudflare key     \\bv1\\.0-[0-9a-f]{24}-[0-9a-f]{140,}|\\bcf(?:ut|at|k)_[\\w-]{40,}
1Password token    \\bops_eyJ[A-Za-z0-9+/_=-]{100,}|\\bA3-[A-Z0-9]{6}-[A-Z0-9]{6,11}-[A-Z0-9-]{17,}
CI token           \\bpul-[0-9a-f]{40}\\b|\\bpnu_[A-Za-z0-9]{36}\\b|\\bbk[uars]a?_[0-9a-f]{40}|\\bCCI(?:PAT|PRJ)_\\w{20,}
CI token           \\bsdk-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\\bsgp_[\\w-]{40,}|\\bsqu_[0-9a-f]{40}
CI token           \\bsq[ap]_[0-9a-f]{40}|\\bico-[A-Za-z0-9]{32}\\b|\\bAPI-[A-Z0-9]{26,}\\b|\\bCFPAT-[\\w-]{40,}
Tailscale key      \\btskey-[a-z]+-\\w{8,}(?:-\\w{8,})?
Okta token         \\bSSWS [\\w-]{30,}
Alibaba key        \\bLTAI[A-Za-z0-9]{16,24}\\b
Tencent key        \\bAKID[A-Za-z0-9]{32}\\b
Mapbox token       \\bsk\\.eyJ[\\w.-]{30,}
Plaid token        \\baccess-(?:sandbox|development|production)-[0-9a-f-]{36}
Azure secret       \\b[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}
Adafruit key       \\baio_[A-Za-z0-9]{28}\\b
Typeform token     \\btfp_[\\w-]{40,}
Yandex key         \\bt1\\.[A-Z0-9a-z_-]+={0,2}\\.[\\w-]{80,}=*|\\bAQVN[\\w-]{35,}
private key        \\bAGE-(?:SECRET-KEY|PLUGIN-[A-Z0-9]+)-1[0-9A-Z]{20,}
private key        \\b[xyz]prv[1-9A-HJ-NP-Za-km-z]{100,}|\\bnsec1[02-9ac-hj-np-z]{58}\\b
private key        \\bS[OUANCX][A-Z2-7]{56}\\b
password hash      \\$(?:apr1|1|5|6|y|7|gy|2[abxy]|argon2id?|argon2i|scrypt|pbkdf2-sha[0-9]+)\\$[./A-Za-z0-9$=,+-]{22,}
"""
