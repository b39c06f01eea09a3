import { describe, expect, test } from 'vitest'
import { findBy } from '../find.ts'

const VALUE = 'gjk5ceivjghvc4krk62m4apq'

const secrets = (text: string): string[] => findBy('secret_parameter', text)

describe('a secret behind its name', () => {
  test.each([
    `var acmeToken string = "${VALUE}"`,
    `string acmeToken = "${VALUE}";`,
    `acmeToken := "${VALUE}"`,
    `acme_TOKEN ?= "${VALUE}"`,
    `$acmeToken .= "${VALUE}"`,
    `  "acmeToken" => "${VALUE}"`,
    `config["api_key"] = '${VALUE}'`,
    `System.setProperty("ACME_TOKEN", "${VALUE}")`,
    `{\n  "acme_token": "${VALUE}"\n}`,
    `{"config.ini": "ACME_TOKEN=${VALUE}\\nBACKUP_ENABLED=true"}`,
    `{"payload":"{\\"api_key\\":\\"${VALUE}\\"}"}`,
    `acme_token: ${VALUE}`,
    `x-api-key: ${VALUE}`,
    `Authorization: Token ${VALUE}`,
    `<acmeToken>\n    ${VALUE}\n</acmeToken>`,
    `<add key="AcmeToken" value="${VALUE}" />`,
    `run --api-key ${VALUE} --verbose`,
    `AWS_SECRET_ACCESS_KEY=${VALUE}`,
    `vendor_key = "${VALUE}"`,
  ])('%s', (text) => {
    expect(secrets(text)).toEqual([VALUE])
  })
})

describe('a password, with any sign in it, ends where its syntax does', () => {
  test.each([
    ['login failed, password: a4w@Cv(_#(_', 'a4w@Cv(_#(_'],
    ['tool --user ada --password F69W&28z sync', 'F69W&28z'],
    ['mysql -u ada --password=F#SI1^d4 -h db', 'F#SI1^d4'],
    ['{"user": "ada", "password": "%JB1HQ$w1c"}', '%JB1HQ$w1c'],
    ['password=abc123&user=ada', 'abc123'],
    ['/cb?password=abc123#top', 'abc123'],
    ['curl -u ada:h0pk1ns~21s https://x.example', 'h0pk1ns~21s'],
    ["curl --user 'ada:d2L%x!t' https://x.example", 'd2L%x!t'],
  ])('%s', (text, password) => {
    expect(secrets(text)).toEqual([password])
  })
})

describe('no secret', () => {
  test.each([
    'max_token=4096',
    'next_page_token: Cj0KEQjwr82iBRCuctXp',
    'token_count: 123456789012',
    'primary_key = "orders_2024_partition_17"',
    'public_key = "9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit"',
    'password: please enter it again',
    'password = null',
    `token: $\{ACME_TOKEN}`,
    'token: $ACME_TOKEN',
    'token: %s',
    'token: <your token here>',
    'token: {{ .Values.token }}',
    'token = os.environ["ACME_TOKEN"]',
    'api_key: process.env.API_KEY_42',
    'password: ********',
    'secret: /run/secrets/db',
    'secretsmanager:eu-west-1:123456789012:secret:SecretName-6RandomCharacters',
    'token: enc.v1.AAAAAAAAAAAAAAAAAAAAAA.BBBB',
    'IceSSL.KeyFile=s_rsa1024_priv.pem',
    'key_length = XSalsa20.key_length',
    'if (token != "abc12345defgh") {',
    'token == abcdefgh12345678',
    'docker run --password-stdin',
    'curl -u ada https://x.example',
    'api_key: xxxxxxxxxxxxxxxxxxxx',
  ])('%s', (text) => {
    expect(secrets(text)).toEqual([])
  })
})
