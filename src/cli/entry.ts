/** What the launcher loads when the command line is no hot command's. */
export { main } from './main.js'
export { systemContext } from './system.js'
