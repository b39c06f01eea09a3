// OTLP/JSON, both ways: the two files behind this one share nothing but the schema.
export { jsonToProtobuf, jsonToSoundItems, jsonToSoundItemsInSlices } from './json-read.ts'
export { JsonWriter, protobufToJson } from './json-write.ts'
