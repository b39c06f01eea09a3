// Given to a process by --import: when the process ends, adds the URL of every module that it loaded to LOADS_FILE.
import { appendFileSync } from 'node:fs'
import { createRequire, registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const loaded = new Set<string>()
registerHooks({
  load: (url, context, next) => {
    loaded.add(url)
    return next(url, context)
  },
})
process.on('exit', () => {
  // What CommonJS loads from within CommonJS need not pass the hook.
  for (const path of Object.keys(createRequire(import.meta.url).cache)) loaded.add(pathToFileURL(path).href)
  appendFileSync(process.env.LOADS_FILE!, `${[...loaded].join('\n')}\n`)
})
