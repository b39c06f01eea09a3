/**
 * Cipher suites, for both ends of every connection that we set up. TLS 1.3 has no other kind; of TLS 1.2 these, which are
 * forward secret and authenticate what they encrypt (RFC 9325 §4.2): no CBC and no plain RSA key exchange.
 */
export const TLS_SUITES = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')
