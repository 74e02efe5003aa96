# Manual pages, completions and changelogs, as packages hold them, below FOLDER:
#
#   man1/PAGE.1.gz  bash/PROGRAM  zsh/_PROGRAM  fish/PROGRAM.fish  changelog.gz  changelog.Debian.gz
#
#   cmake -DPROGRAM=... -DFOLDER=... -DCHANGELOG=... -DVERSION=... -DDATE=... -DMAINTAINER=... -P pages.cmake
file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER}/man1 ${FOLDER}/bash ${FOLDER}/zsh ${FOLDER}/fish)

# -n: neither name nor time, so that the same text gives the same bytes.
function(compressed file)
  execute_process(${ARGN} COMMAND gzip -9n OUTPUT_FILE ${FOLDER}/${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

execute_process(COMMAND ${PROGRAM} manual --list OUTPUT_VARIABLE pages COMMAND_ERROR_IS_FATAL ANY
                OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "\n" ";" pages "${pages}")
foreach(page IN LISTS pages)
  compressed(man1/${page}.1.gz COMMAND ${PROGRAM} manual ${page})
endforeach()

function(completions name)
  foreach(file bash/${name} zsh/_${name} fish/${name}.fish)
    get_filename_component(shell ${file} DIRECTORY)
    execute_process(COMMAND ${PROGRAM} completion ${shell} ${name} OUTPUT_FILE ${FOLDER}/${file}
                    COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endfunction()
completions(merganser)
completions(merganser-mpi)

compressed(changelog.gz COMMAND cat ${CHANGELOG})
# Debian's of this version alone.
execute_process(COMMAND date --utc --rfc-email --date=${DATE} OUTPUT_VARIABLE date
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
file(WRITE ${FOLDER}/changelog.Debian
  "merganser (${VERSION}) unstable; urgency=medium\n\n"
  "  * What changed stands in changelog.gz of the package merganser.\n\n"
  " -- ${MAINTAINER}  ${date}\n")
compressed(changelog.Debian.gz COMMAND cat ${FOLDER}/changelog.Debian)
file(TOUCH ${FOLDER}/made)
