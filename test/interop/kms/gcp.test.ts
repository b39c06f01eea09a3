import { everyCaseProven, kmsConformance } from './conformance.ts'
import { gcpTarget } from './gcp-target.ts'

kmsConformance('gcp (fake of its gRPC protocol)', gcpTarget())
everyCaseProven('gcp')
