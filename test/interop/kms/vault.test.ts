// Vault's Transit engine, by way of OpenBao. Start-up of the server takes about a second.
import { everyCaseProven, kmsConformance } from './conformance.ts'
import { vaultTarget } from './vault-target.ts'

kmsConformance('vault (OpenBao, derived keys)', vaultTarget({ type: 'aes256-gcm96', derived: true }))
kmsConformance('vault (OpenBao, associated data)', vaultTarget({ type: 'aes256-gcm96' }))
everyCaseProven('vault')
