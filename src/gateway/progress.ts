/** Progress that an upstream tells while it works, on its way to the client that asked. */

import type { ServerContext } from '@modelcontextprotocol/server'

/** What a request of a client brings that progress needs. */
type Asker = Partial<Pick<ServerContext['mcpReq'], '_meta' | 'notify'>>

/** Hands progress on; an answer that overtakes it would end the client's interest. */
export class ProgressRelay {
  readonly #asker: Asker
  #sent: Promise<void> = Promise.resolve()

  constructor(asker: Asker) {
    this.#asker = asker
  }

  /** What a request of the SDK takes; empty where nobody wants progress. */
  get options(): { readonly onprogress?: (progress: object) => void } {
    const progressToken = this.#asker._meta?.progressToken
    const { notify } = this.#asker
    if (progressToken === undefined || notify === undefined) return {}
    return {
      onprogress: (progress) => {
        const params = { ...progress, progressToken } as never
        const own = notify({ method: 'notifications/progress', params }).catch(() => {})
        this.#sent = this.#sent.then(() => own)
      },
    }
  }

  /** Settles once all progress is on its way, whether it arrived or not. */
  get sent(): Promise<void> {
    return this.#sent
  }
}
