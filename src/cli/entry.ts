/** What the launcher loads. */
export { main } from './main.js'
export { systemContext } from './system.js'
