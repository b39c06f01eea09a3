// OTLP/JSON, both ways: the readers and the writer behind this file share nothing but the schema.
export { expectOneReading } from './json-once.ts'
export {
  jsonToProtobuf,
  jsonToRequests,
  jsonToSoundItems,
  jsonToSoundItemsInSlices,
  type SignalRequest,
} from './json-read.ts'
export { JsonWriter, protobufToJson } from './json-write.ts'
