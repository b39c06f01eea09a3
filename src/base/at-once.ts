/** Does the work for each item, for at most so many at once. Rejects with the first failure, and then begins no other. */
export async function forEachAtOnce<Item>(
  items: readonly Item[],
  atOnceMax: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0
  let hasFailed = false
  const run = async (): Promise<void> => {
    while (next < items.length && !hasFailed) {
      try {
        await work(items[next++]!)
      } catch (thrown) {
        hasFailed = true
        throw thrown
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, run))
}
