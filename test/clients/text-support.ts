/** Whether all of `part` stands in `whole`, in order. */
export function isSubsequence(part: string, whole: string): boolean {
  let at = 0
  for (const unit of whole.split('')) if (at < part.length && part[at] === unit) at += 1
  return at === part.length
}
