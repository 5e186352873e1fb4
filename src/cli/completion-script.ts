/**
 * Completion scripts. Pure: the commands come in, the text of a script goes out.
 *
 * All that is fixed stands in the script, so that completing a command or a flag starts no process; names and tokens come
 * from `mcpvault completion names` and `tokens`. The scripts hold three tables as functions (commands, flags and what
 * comes after a flag or a command), and one walk over the words that were typed. bash and zsh share tables and walk.
 */

import type { Candidate, CompletedCommand, CompletedFlag, CompletionTree, Shell, Slot } from './completion-tree.js'

/** Flags that say which vault and key are meant, and are handed on. */
const PASSED = ['--vault', '--log', '--key-file', '--env-file'] as const

/** Stands for the flags of every command in the table of flags; no command has this name. */
const GLOBAL = 'every command'

/** Prints the completion script of a shell. */
export function formatScript(shell: Shell, tree: CompletionTree): string {
  if (shell === 'fish') return `${FISH_HEAD}${formatTables(tree, FISH)}${FISH_WALK}`
  const tables = formatTables(tree, POSIX)
  return shell === 'bash'
    ? `${BASH_HEAD}${tables}${POSIX_WALK}${BASH_END}`
    : `${ZSH_HEAD}${tables}${POSIX_WALK}${ZSH_END}`
}

/** How a shell spells functions and cases. */
interface Dialect {
  quote(text: string): string
  /** Patterns of what begins or ends with a text. */
  prefix(text: string): string
  suffix(text: string): string
  /** A function that compares its argument, or the two of them with a blank between, with patterns. */
  table(name: string, cases: readonly Case[]): string
  /** A command that prints lines. */
  print(lines: readonly string[]): string
}

const POSIX: Dialect = {
  quote: quotePosix,
  prefix: (text) => `${quotePosix(text)}*`,
  suffix: (text) => `*${quotePosix(text)}`,
  table(name, cases) {
    const arms = cases.map(([patterns, body]) => `    ${patterns.join('|')}) ${body} ;;\n`)
    return `${name}() {\n  case "$*" in\n${arms.join('')}  esac\n}\n`
  },
  print: (lines) => `printf '%s\\n' ${lines.map(quotePosix).join(' ')}`,
}

const FISH: Dialect = {
  quote: quoteFish,
  // A pattern is one in quotes, too.
  prefix: (text) => quoteFish(`${text}*`),
  suffix: (text) => quoteFish(`*${text}`),
  table(name, cases) {
    const arms = cases.map(([patterns, body]) => `        case ${patterns.join(' ')}\n            ${body}\n`)
    return `function ${name}\n    switch "$argv"\n${arms.join('')}    end\nend\n`
  },
  print: (lines) => `printf '%s\\n' ${lines.map(quoteFish).join(' ')}`,
}

function quoteFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

function quotePosix(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function formatTables({ globals, commands }: CompletionTree, dialect: Dialect): string {
  const { quote, print, table } = dialect
  const groups = commands.filter((command) => command.commands.length > 0)
  const flagged = [...commands, { path: GLOBAL, flags: globals }].filter(({ flags }) => flags.length > 0)
  return [
    table(
      '__mcpvault_commands',
      groups.map((group) => [[quote(group.path)], print(group.commands.map(lineOf))]),
    ),
    table(
      '__mcpvault_flags',
      flagged.map(({ path, flags }) => [
        [quote(path)],
        print(flags.flatMap(({ spellings, meaning }) => spellings.map((word) => lineOf({ word, meaning })))),
      ]),
    ),
    table('__mcpvault_value', [
      ...commands.flatMap(({ path, flags }) => valueCases(flags, (word) => quote(`${path} ${word}`), dialect)),
      ...valueCases(globals, (word) => dialect.suffix(` ${word}`), dialect),
    ]),
    table('__mcpvault_place', placeCases(commands, dialect)),
  ].join('')
}

type Case = readonly [patterns: readonly string[], body: string]

/** What comes after a flag: the key is the command and the flag. Prints nothing for a switch. */
function valueCases(
  flags: readonly CompletedFlag[],
  pattern: (word: string) => string,
  { print }: Dialect,
): readonly Case[] {
  return flags.flatMap(({ spellings, value }): readonly Case[] =>
    value === undefined ? [] : [[spellings.map(pattern), print(slotLines(value))]],
  )
}

/** What comes after a command: the key is the command and how many words came before. */
function placeCases(commands: readonly CompletedCommand[], { quote, prefix, print }: Dialect): readonly Case[] {
  return commands.flatMap(({ path, places, isRepeated }) =>
    places.flatMap((slot, index): readonly Case[] => {
      if (slot === 'any') return []
      const isLast = isRepeated && index === places.length - 1
      return [[[isLast ? prefix(`${path} `) : quote(`${path} ${index}`)], print(slotLines(slot))]]
    }),
  )
}

/** A line that starts with a colon stands for something that has to be looked up. */
function slotLines(slot: Slot): readonly string[] {
  return typeof slot === 'string' ? [`:${slot}`] : slot.map(lineOf)
}

function lineOf({ word, meaning }: Candidate): string {
  return meaning === '' ? word : `${word}\t${meaning}`
}

const BASH_HEAD = `# Completion of mcpvault for bash. In ~/.bashrc: eval "$(mcpvault completion bash)"\n`
const ZSH_HEAD = `#compdef mcpvault\n# Completion of mcpvault for zsh. In ~/.zshrc, after compinit: eval "$(mcpvault completion zsh)"\n`
const FISH_HEAD = `# Completion of mcpvault for fish: mcpvault completion fish > ~/.config/fish/completions/mcpvault.fish\n`

/**
 * Prints the candidates, a line each, for the words up to the cursor; the last one is being typed. No variable may be
 * called `path`, which zsh ties to PATH.
 */
const POSIX_WALK = `__mcpvault_look_up() {
  case "$1" in
    :names|:tokens) shift_to="\${1#:}"; shift; command mcpvault completion "$shift_to" "$@" --no-input 2>/dev/null ;;
    :assigned)
      case "$typing" in *=*)
        shift
        command mcpvault completion names "$@" --no-input 2>/dev/null | while IFS= read -r line; do
          printf '%s=%s\\n' "\${typing%%=*}" "$line"
        done ;;
      esac ;;
    :any) ;;
    *) printf '%s\\n' "$1" ;;
  esac
}
__mcpvault_candidates() {
  local at='' count=0 word='' line='' value='' shift_to='' typing=''
  local -a pass
  pass=()
  shift
  while [ $# -gt 1 ]; do
    word="$1"
    shift
    case "$word" in
      ${PASSED.map((flag) => `${flag}=*`).join('|')}) pass+=("$word") ;;
      --) return ;;
      --*=*) ;;
      -?*)
        value="$(__mcpvault_value "$at" "$word")"
        if [ -n "$value" ]; then
          if [ $# -eq 1 ]; then
            typing="$1"
            case "$1" in -*) ;; *) __mcpvault_each "$value" ;; esac
            return
          fi
          case "$word" in
            ${PASSED.join('|')})
              case "$1" in
                '~/'*) pass+=("$word" "$HOME/\${1#'~/'}") ;;
                *) pass+=("$word" "$1") ;;
              esac ;;
          esac
          shift
        fi ;;
      *)
        if [ -z "$at" ]; then at="$word"
        elif [ -n "$(__mcpvault_commands "$at")" ] && [ $count -eq 0 ]; then at="$at $word"
        else count=$((count + 1))
        fi ;;
    esac
  done
  case "$1" in
    --*=*)
      value="$(__mcpvault_value "$at" "\${1%%=*}")"
      while IFS= read -r line; do
        case "$line" in
          :file) printf '%s\\n' "$line" ;;
          :*|'') ;;
          *) printf '%s=%s\\n' "\${1%%=*}" "$line" ;;
        esac
      done <<< "$value" ;;
    -*)
      __mcpvault_flags "$at"
      __mcpvault_flags '${GLOBAL}' ;;
    *)
      __mcpvault_commands "$at"
      __mcpvault_each "$(__mcpvault_place "$at" "$count")" ;;
  esac
}
__mcpvault_each() {
  while IFS= read -r line; do
    if [ -n "$line" ]; then __mcpvault_look_up "$line" \${pass[@]+"\${pass[@]}"}; fi
  done <<< "$1"
}
`

const BASH_END = `_mcpvault() {
  local line="\${COMP_LINE:0:COMP_POINT}" typed='' found='' prefix='' mark='' before=''
  local -a words
  COMPREPLY=()
  read -ra words <<< "$line"
  while [ \${#words[@]} -gt 1 ] && [ "\${words[0]}" != "$1" ]; do words=("\${words[@]:1}"); done
  case "$line" in *[[:space:]]) words+=('') ;; esac
  typed="\${words[\${#words[@]}-1]}"
  # readline replaces only what stands behind the last of its word breaks.
  for mark in : = @; do
    case "$COMP_WORDBREAKS" in
      *"$mark"*)
        before="\${typed%"\${typed##*"$mark"}"}"
        if [ \${#before} -gt \${#prefix} ]; then prefix="$before"; fi ;;
    esac
  done
  while IFS= read -r found; do
    found="\${found%%$'\\t'*}"
    case "$found" in
      :file)
        if type compopt > /dev/null 2>&1; then compopt -o default 2> /dev/null
        else while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "\${typed#"$prefix"}")
        fi ;;
      '') ;;
      "$typed"*) COMPREPLY+=("\${found#"$prefix"}") ;;
    esac
  done < <(__mcpvault_candidates "\${words[@]}")
}
complete -F _mcpvault mcpvault
`

const ZSH_END = `_mcpvault() {
  local found='' word=''
  local -a candidates
  while IFS= read -r found; do
    if [[ $found == :file ]]; then
      [[ $PREFIX == --*=* ]] && compset -P '*='
      _files
      return
    fi
    word="\${found%%$'\\t'*}"
    if [[ $found == *$'\\t'* ]]; then candidates+=("\${word//:/\\\\:}:\${found#*$'\\t'}")
    elif [[ -n $found ]]; then candidates+=("\${word//:/\\\\:}")
    fi
  done < <(__mcpvault_candidates "\${(@Q)words[1,CURRENT-1]}" "$PREFIX")
  _describe mcpvault candidates
}
if [ "\${funcstack[1]}" = _mcpvault ]; then _mcpvault "$@"
elif (( $+functions[compdef] )); then compdef _mcpvault mcpvault
fi
`

const FISH_WALK = `function __mcpvault_candidates
    set -l words (commandline -opc)
    set -e words[1]
    set -l typed (commandline -ct)
    set -l at ''
    set -l count 0
    set -l pass
    set -l flag ''
    set -l value
    for word in $words
        if test -n "$flag"
            if contains -- $flag ${PASSED.join(' ')}
                set -a pass $flag (string replace -r '^~/' "$HOME/" -- $word)
            end
            set flag ''
            continue
        end
        switch "$word"
            case ${PASSED.map((flag) => `'${flag}=*'`).join(' ')}
                set -a pass $word
            case '--'
                return
            case '--*=*'
            case '-*'
                set value (__mcpvault_value $at $word)
                if test -n "$value"
                    set flag $word
                end
            case '*'
                set value (__mcpvault_commands $at)
                if test -z "$at"
                    set at $word
                else if test -n "$value" -a $count -eq 0
                    set at "$at $word"
                else
                    set count (math $count + 1)
                end
        end
    end
    set -l before ''
    set -l lines
    if test -n "$flag"
        set lines (__mcpvault_value $at $flag)
    else if string match -q -- '--*=*' $typed
        set before (string replace -r '=.*' '=' -- $typed)
        set lines (__mcpvault_value $at (string replace -r '=.*' '' -- $typed))
    else if string match -q -- '-*' $typed
        set lines (__mcpvault_flags $at) (__mcpvault_flags '${GLOBAL}')
    else
        set lines (__mcpvault_commands $at) (__mcpvault_place $at $count)
    end
    for line in $lines
        switch $line
            case ':names' ':tokens'
                command mcpvault completion (string sub -s 2 -- $line) $pass --no-input 2>/dev/null
            case ':assigned'
                if string match -q -- '*=*' $typed
                    for found in (command mcpvault completion names $pass --no-input 2>/dev/null)
                        printf '%s=%s\\n' (string replace -r '=.*' '' -- $typed) $found
                    end
                end
            case ':file'
                for found in (__fish_complete_path (string replace -r '^--[^=]*=' '' -- $typed))
                    printf '%s%s\\n' $before $found
                end
            case ':any'
            case '*'
                printf '%s%s\\n' $before $line
        end
    end
end
complete -c mcpvault -f -a '(__mcpvault_candidates)'
`
