// How providers' tokens look, as data: `provider | prefixes | alphabet of what follows | its length`, ␠ for a space. A prefix
// counts at the beginning of a word only. Lengths leave some room, since providers lengthen their tokens.

/** Characters of a token's body by the names that the table uses. */
export const ALPHABETS: Readonly<Record<string, string>> = {
  digit: '0-9',
  hex: '0-9a-fA-F',
  uuid: '0-9a-fA-F-',
  upper: '0-9A-Z',
  lower: '0-9a-z',
  base62: '0-9A-Za-z',
  cased: '0-9A-Za-z',
  mixed: '0-9A-Za-z',
  word: '0-9A-Za-z_',
  url: '0-9A-Za-z_-',
  pad: '0-9A-Za-z_=-',
  dot: '0-9A-Za-z_.-',
  dots: '0-9A-Za-z_.=-',
  base64: '0-9A-Za-z+/=',
  any: '0-9A-Za-z_.=+/~%:-',
}

/** Bodies that need a small letter (1), a capital (2), a digit (4), since without them they are words. */
export const NEEDED: Readonly<Record<string, number>> = { cased: 1 | 2, mixed: 1 | 2 | 4 }

export interface TokenForm {
  readonly provider: string
  readonly prefix: string
  /** A key of ALPHABETS. */
  readonly alphabet: string
  /** Characters behind the prefix. */
  readonly min: number
  readonly max: number
}

const TABLE = `
1password | A3- | url | 32-40
1password | ops_eyJ | base64 | 80-2000
adafruit | aio_ | base62 | 28
adobe | p8e- | hex | 32
adyen | AQE | base64 | 60-400
age | AGE-SECRET-KEY-1 | upper | 58
aikido | AIK_CI_ AIK_SECRET_ | base62 | 20-120
aikido | AIK_CLIENT_ | base62 | 20-60
airtable | pat | dot | 80
alibaba | LTAI | base62 | 12-20
alibaba | STS.N | base62 | 16-40
anthropic | sk-ant-api sk-ant-admin sk-ant-oat sk-ant-sid | url | 90-100
authress | sc_ ext_ scauth_ authress_ | any | 80-200
anyscale | esecret_ | base62 | 24-40
apify | apify_api_ | base62 | 30-48
artifactory | AKCp | base62 | 60-80
artifactory | cmVmd | base62 | 56-64
atlassian | ATATT3 ATCTT3 ATBB ATSTT3 | pad | 28-240
aws | ABSK | base64 | 60-300
aws | AKIA ASIA ABIA ACCA AROA AIDA AGPA ANPA ANVA APKA | upper | 16
aws | bedrock-api-key- | base64 | 20-2000
axiom | xaat- xapt- | url | 36-48
beamer | b_ | pad | 44
braintree | access_token$production$ access_token$sandbox$ | any | 40-60
brave | BSA | url | 27-29
brevo | xkeysib- xsmtpsib- | url | 64-90
buildkite | bkua_ bkat_ bkpt_ bkaj_ | base62 | 32-64
cal | cal_live_ cal_test_ cal_ | hex | 32
canva | OC- | url | 8-20
canva | cnvca | url | 48-60
cerebras | csk- | lower | 40-52
checkly | cu_ | hex | 32
checkout | sk_sbox_ pk_sbox_ | any | 28-40
circleci | CCIPAT_ CCIPRJ_ | word | 40-80
clerk | sk_live_ sk_test_ | base62 | 10-120
clickhouse | 4b1d | base62 | 38
clickup | pk_ | word | 36-50
clojars | CLOJARS_ | hex | 60
close | api_ | dot | 40-50
cloudflare | v1.0- | url | 140-180
cockroach | CCDB1_ | url | 60-70
configcat | configcat-sdk-1/ | any | 40-50
contentful | CFPAT- | url | 40-48
courier | pk_prod_ pk_test_ dk_prod_ | base62 | 28-40
crates | cio | base62 | 32
cursor | key_ | hex | 60-70
databricks | dapi dose | uuid | 32-36
datadog | ddapp_ ddapi_ pub | hex | 32-40
deepseek | sk- | hex | 32
deno | ddp_ ddw_ ddo_ | base62 | 36
dependencytrack | odt_ | base62 | 32-48
devin | apk_ | base64 | 60-400
devin | apk_user_ | base64 | 60-400
devin | cog_ | lower | 48-60
digitalocean | dop_v1_ doo_v1_ dor_v1_ | hex | 64
docker | dckr_pat_ dckr_oat_ | url | 27-40
doppler | dp.pt. dp.ct. dp.st. dp.sa. dp.scim. dp.audit. | dot | 40-60
dropbox | sl. | url | 120-1500
duffel | duffel_test_ duffel_live_ | pad | 43
dynatrace | dt0c01. dt0s01. dt0s02. dt0s08. dt0e01. | dot | 80-96
e2b | e2b_ | hex | 40
easypost | EZAK EZTK | base62 | 54
elastic | essu_ essa_ essp_ | any | 40-200
elevenlabs | sk_ | hex | 48
endorlabs | endr+ | base62 | 16
facebook | EAAA EAAB EAAC EAAD EAAE EAAF EAAG EAAH EAAI EAAJ EAAK EAAL EAAM EAAN EAAO EAAP EAAQ EAAR EAAS EAAT EAAU EAAV EAAW EAAX EAAY EAAZ | base62 | 80-400
facebook | EAACEdEose0cBA | base62 | 20-400
fastly | fgsb fgst | hex | 28
figma | figd_ figo_ figu_ figoh_ | url | 36-48
firecrawl | fc- | hex | 32
fireworks | fw_ | base62 | 22-28
flutterwave | FLWSECK_TEST- FLWSECK- FLWPUBK_TEST- FLWPUBK- | url | 12-34
fly | fm1r_ fm1a_ fm2_ fo1_ | any | 40-2000
fly | FlyV1␠ | any | 60-2000
frameio | fio-u- | pad | 64
friendli | flp_ | base62 | 32-64
github | ghp_ gho_ ghu_ ghs_ ghr_ | base62 | 36-255
github | github_pat_ | word | 82
gitlab | GR1348941 | url | 20
gitlab | glpat- gldt- glft- glffct- glsoat- glcbt- gloas- glimt- glptt- glrt- glrtr- glagent- glwt- | dot | 20-140
gocardless | live_ sandbox_ | pad | 40
google | 1// | url | 40-120
google | GOCSPX- | url | 28
google | ya29. | url | 20-2000
grafana | eyJrIjoi | base64 | 60-400
grafana | glc_ glsa_ | any | 32-400
groq | gsk_ | base62 | 52
harness | pat. sat. | dot | 60-80
hashicorp | hvs. hvb. hvr. | url | 24-300
helicone | sk-helicone- | url | 20-60
heroku | HRKU- | url | 30-64
honeycomb | hcaik_ hcaic_ hcaik_01 hcamk_ hcxik_ hcxlk_ | lower | 56-64
hubspot | pat-na1- pat-na2- pat-eu1- pat-ap1- | uuid | 36
huggingface | api_org_ | base62 | 34
huggingface | hf_ | cased | 34-40
infisical | st. | dot | 60-120
infracost | ico- | base62 | 32
inngest | signkey-prod- signkey-test- | hex | 32-64
intercom | dG9r | base64 | 40-80
intra42 | s-s4t2af- s-s4t2ud- | hex | 64
ionic | ion_ | base62 | 40-48
jina | jina_ | base62 | 40-80
jsr | jsrp_ jsrd_ | base62 | 40-64
klaviyo | pk_ | hex | 34
langchain | lsv2_pt_ lsv2_sk_ ls__ | word | 32-48
langfuse | sk-lf- pk-lf- | url | 36
launchdarkly | api- sdk- mob- | uuid | 36
lichess | lip_ | base62 | 20
linear | lin_api_ lin_oauth_ | base62 | 40-64
linkedin | WPL_AP0. WPL_AP1. | any | 16-40
liveblocks | sk_dev_ sk_prod_ pk_dev_ pk_prod_ | url | 20-120
lob | live_pub_ test_pub_ | hex | 31
mailchimp | md- | url | 22
mailersend | mlsn. | hex | 64
mailgun | key- pubkey- | hex | 32
mapbox | sk.eyJ pk.eyJ tk.eyJ | dot | 60-200
mem0 | m0- | base62 | 40
mercury | secret-token:mercury_production_ | any | 40-120
minimax | sk-api- | url | 60-140
mollie | test_ live_ | base62 | 30
mongodb | mdb_sa_sk_ | url | 40-48
neon | napi_ | lower | 60-72
netbird | nbp_ | base62 | 36
netlify | nfp_ nfo_ nfc_ nfu_ | base62 | 36-48
newrelic | NRAK- | base62 | 27-32
newrelic | NRII- NRIQ- NRRA- NRSP- | url | 27-48
newrelic | NRJS- | hex | 19
nightfall | NF- | base62 | 32
notion | ntn_ | base62 | 46
notion | secret_ | base62 | 43
npm | npm_ | base62 | 36
nuget | oy2 | lower | 43
nvidia | nvapi- | url | 60-70
octopus | API- | upper | 26
onesignal | os_v2_app_ os_v2_org_ | lower | 90-120
openai | sess- | base62 | 40
openai | sk- | base62 | 48
openai | sk-proj- sk-svcacct- sk-admin- sk-None- sk-service- | url | 40-200
openrouter | sk-or-v1- | hex | 64
openshift | sha256~ | url | 43
orbit | obu_ | url | 20-40
outline | ol_api_ | base62 | 38
packagist | packagist_uut_ packagist_out_ packagist_ort_ packagist_ack_ packagist_acs_ | hex | 48-80
paddle | pdl_live_apikey_ pdl_sdbx_apikey_ | word | 40-70
pagarme | ak_live_ ak_test_ ek_live_ ek_test_ | base62 | 30
pangea | pts_ | lower | 32
paystack | sk_live_ sk_test_ | hex | 40
percy | web_ app_ | hex | 64
perplexity | pplx- | base62 | 40-64
pinecone | pcsk_ | word | 60-80
pinterest | pina_ | base62 | 60-80
plaid | access-sandbox- access-development- access-production- | url | 36
planetscale | pscale_tkn_ pscale_oauth_ pscale_pw_ | dots | 32-64
polar | polar_oat_ polar_pat_ polar_ | base62 | 32-64
posthog | phc_ phs_ pha_ phr_ | url | 40-48
posthog | phx_ | url | 44-60
postman | PMAK- PMAT- | url | 59
prefect | pnu_ pnb_ | base62 | 36
pulumi | pul- | hex | 40
pypi | pypi-AgEIcHlwaS5vcmc pypi-AgENdGVzdC5weXBpLm9yZ | url | 50-1000
razorpay | rzp_live_ rzp_test_ | base62 | 14
readme | rdme_ | lower | 70
render | rnd_ | base62 | 28-40
replicate | r8_ | base62 | 37
resend | re_ | word | 24-40
retool | retool_ | base62 | 24-64
roboflow | rf_ | base62 | 28
rootly | rootly_ | hex | 64
rubygems | rubygems_ | hex | 48
runpod | rpa_ | base62 | 40-48
salesforce | 00D | any | 80-200
samsara | samsara_api_ | base62 | 30
sanity | skE skA | base62 | 78-200
scaleway | SCW | upper | 17
scalingo | tk-us- tk-eu- | word | 48
segment | sgp_ | base62 | 64
sendgrid | SG. | dots | 66
sentry | sntrys_eyJ | any | 60-400
sentry | sntryu_ sntrya_ sntryi_ | hex | 64
settlemint | sm_pat_ sm_sat_ sm_aat_ | base62 | 16
shippo | shippo_live_ shippo_test_ | hex | 40
shopify | shpat_ shpca_ shppa_ shpss_ shpua_ | hex | 32
siliconflow | sk- | lower | 48
slack | hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/ | any | 24-80
slack | xapp-1- | url | 60-120
slack | xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxc- xoxe- | url | 12-260
slack | xoxd- | any | 60-400
slack | xoxe.xoxp-1- xoxe.xoxb-1- | base62 | 100-200
snyk | snyk_uat. snyk_sat. | any | 30-160
sonar | squ_ sqp_ sqa_ | hex | 40
sourcegraph | sgp_ sgp_local_ | hex | 40
sourcegraph | sgp_ | word | 57
sourcegraph | slk_ | hex | 64
square | EAAA EAAl | url | 58-64
stability | sk- | base62 | 48
stackhawk | hawk. | dot | 40-50
statsig | secret- console- | base62 | 43
stripe | sk_prod_ rk_prod_ whsec_ | base62 | 10-120
stytch | secret-test- secret-live- | pad | 36
sumup | sup_sk_ sup_pk_ | base62 | 32
supabase | sb_secret_ sb_publishable_ | url | 31-48
supabase | sbp_ sbp_v0_ | lower | 40
tailscale | tskey-auth- tskey-api- tskey-client- tskey-webhook- tskey-scim- | url | 24-64
tavily | tvly- | url | 32-48
telnyx | KEY0 | word | 40-64
thunderstore | tss_ | base62 | 36
togetherai | tgp_v1_ | url | 43
trigger | tr_dev_ tr_prod_ tr_stg_ tr_pat_ | base62 | 20-64
twilio | SK AC | hex | 32
typeform | tfp_ | any | 40-80
upcloud | ucat_ | upper | 26
upstage | up_ | base62 | 29
valtown | vtwn_ | base62 | 28-48
vault | s. b. r. | mixed | 24
vercel | vcp_ vci_ vca_ vcr_ vck_ | url | 56
vercel | vercel_blob_rw_ | word | 40-64
volcengine | AKLT | base62 | 40-64
voyage | pa- | url | 40-48
wakatime | waka_ | uuid | 36
wandb | wandb_v1_ | word | 77
wix | IST. | dot | 100-2000
woocommerce | ck_ cs_ | hex | 40
xai | xai- | base62 | 80
yandex | AQVN | url | 35-38
yandex | YCAJE YC YCM YCP | url | 36-38
yandex | t1. | dots | 80-240
zuplo | zpka_ | word | 32-80
`

/** One entry for each prefix. */
export const TOKEN_FORMS: readonly TokenForm[] = TABLE.trim()
  .split('\n')
  .flatMap((line) => {
    const [provider, prefixes, alphabet, lengths] = line.split(' | ')
    const [min, max = min] = lengths!.split('-').map(Number)
    return prefixes!.split(' ').map((prefix) => ({
      provider: provider!,
      prefix: prefix.replace('␠', ' '),
      alphabet: alphabet!,
      min: min!,
      max: max!,
    }))
  })
