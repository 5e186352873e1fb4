'use strict'

// Loaded into a measured process: writes down, at its end, the most memory that it had (resident, in KiB).
process.on('exit', () => {
  require('node:fs').writeFileSync(process.env.BENCH_PEAK_FILE, String(process.resourceUsage().maxRSS))
})
