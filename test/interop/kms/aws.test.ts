import { startMinistack, startMoto } from './aws-emulators.ts'
import { awsTarget } from './aws-target.ts'
import { everyCaseProven, kmsConformance } from './conformance.ts'

kmsConformance(
  'aws (moto)',
  awsTarget(
    startMoto,
    {
      malformed: 'answers AccessDenied to bytes that are no ciphertext',
      key_disabled: 'works on with a disabled key',
      key_pending_deletion: 'works on with a key that is scheduled for deletion',
      sign_ed25519: 'does not know ECC_NIST_EDWARDS25519',
    },
    // AWS says IncorrectKeyException, whose class the unit tests show.
    { otherKeyRefusedAs: 'access_denied', hooks: ['rotateKey', 'openDenied'] },
  ),
)
kmsConformance(
  'aws (ministack)',
  awsTarget(
    startMinistack,
    {
      key_of_another: 'does not look at the KeyId of Decrypt',
      key_unknown_to_unwrap: 'does not look at the KeyId of Decrypt',
      tampered: 'decrypts a ciphertext with a flipped bit',
      rotated: 'does not know RotateKeyOnDemand',
      permission_denied: 'enforces no policies',
    },
    { hooks: [] },
  ),
)
everyCaseProven('aws')
