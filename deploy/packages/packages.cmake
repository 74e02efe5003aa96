# What is installed, and Debian packages of it: merganser, merganser-mpi, merganser-service.
#
#   cmake --build BUILD --target packages                 # BUILD/packages/*.deb
#   cmake --install BUILD --prefix PREFIX --component program
#
# ../README.md says what is in each.
include(GNUInstallDirs)

# --- manual pages, completions, changelogs: made by the program, or of what is in the tree ----------

set(merganser_pages ${CMAKE_BINARY_DIR}/pages)
set(merganser_maintainer "Merganser developers <merganser@example.org>")
# Debian's own number of a package of this version.
set(merganser_package_release 1)
set(merganser_package_version ${PROJECT_VERSION}-${merganser_package_release})
add_custom_command(OUTPUT ${merganser_pages}/made
  COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:merganser> -DFOLDER=${merganser_pages}
    -DCHANGELOG=${CMAKE_SOURCE_DIR}/CHANGELOG.md -DVERSION=${merganser_package_version}
    -DDATE=${MERGANSER_RELEASE_DATE} "-DMAINTAINER=${merganser_maintainer}"
    -P ${CMAKE_CURRENT_LIST_DIR}/pages.cmake
  DEPENDS merganser ${CMAKE_CURRENT_LIST_DIR}/pages.cmake ${CMAKE_SOURCE_DIR}/CHANGELOG.md
  COMMENT "Manual pages and completions" VERBATIM)
# Instrumented programs may need more than a build gives them (setarch), and nobody packages them.
set(merganser_pages_by_default ALL)
if(MERGANSER_SANITIZE)
  set(merganser_pages_by_default)
endif()
add_custom_target(merganser_pages ${merganser_pages_by_default} DEPENDS ${merganser_pages}/made)

# --- installing --------------------------------------------------------------------------------------

# The pages and completions of the program NAME, in the component.
function(merganser_install_pages name component)
  install(FILES ${merganser_pages}/bash/${name} COMPONENT ${component}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${merganser_pages}/zsh/_${name} COMPONENT ${component}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${merganser_pages}/fish/${name}.fish COMPONENT ${component}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endfunction()

# What every Debian package says of itself.
function(merganser_install_notices package component)
  install(FILES ${CMAKE_SOURCE_DIR}/deploy/packages/copyright ${merganser_pages}/changelog.Debian.gz
    COMPONENT ${component} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} ${ARGN})
endfunction()

set(merganser_examples ${CMAKE_INSTALL_DATADIR}/doc/merganser/examples)
install(TARGETS merganser RUNTIME COMPONENT program)
install(DIRECTORY ${merganser_pages}/man1 COMPONENT program DESTINATION ${CMAKE_INSTALL_MANDIR}
  PATTERN merganser-mpi.1.gz EXCLUDE)
merganser_install_pages(merganser program)
merganser_install_notices(merganser program)
install(FILES ${merganser_pages}/changelog.gz COMPONENT program
  DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/merganser)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/tests/data/recipes ${CMAKE_SOURCE_DIR}/tests/data/inputs
  COMPONENT program DESTINATION ${merganser_examples} FILES_MATCHING PATTERN *.yaml)

if(MERGANSER_MPI)
  install(TARGETS merganser-mpi RUNTIME COMPONENT mpi)
  install(FILES ${merganser_pages}/man1/merganser-mpi.1.gz COMPONENT mpi
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  merganser_install_pages(merganser-mpi mpi)
  merganser_install_notices(merganser-mpi mpi)
endif()

# At places of the system's own, whatever the prefix: for packages alone.
set(merganser_systemd ${CMAKE_SOURCE_DIR}/deploy/systemd)
install(FILES ${merganser_systemd}/merganser-coordinator.service
  ${merganser_systemd}/merganser-worker.service
  COMPONENT service DESTINATION /lib/systemd/system EXCLUDE_FROM_ALL)
foreach(unit merganser-coordinator merganser-worker)
  install(FILES ${merganser_systemd}/${unit}.default RENAME ${unit} COMPONENT service
    DESTINATION /etc/default EXCLUDE_FROM_ALL)
endforeach()
# For tokens and certificates.
install(DIRECTORY DESTINATION /etc/merganser COMPONENT service EXCLUDE_FROM_ALL)
merganser_install_notices(merganser-service service EXCLUDE_FROM_ALL)

# --- packages ----------------------------------------------------------------------------------------

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGE_NAME merganser)
set(CPACK_PACKAGE_CONTACT ${merganser_maintainer})
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
# Whatever the umask of whoever makes them.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
  GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL program service)
if(MERGANSER_MPI)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${merganser_package_release})
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME merganser)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS "merganser-mpi, merganser-service")
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "merge experts of one language model into one checkpoint
Merges RL post-trained experts of one base model into one checkpoint on
CPUs, at close to the speed of reading the files, without ever holding a
model in memory. It reads and writes Hugging Face checkpoints (safetensors)
and takes mergekit's recipe files.

The same recipe and inputs give the same bytes, whatever the number of
threads, workers or the CPU.")

set(CPACK_DEBIAN_MPI_PACKAGE_NAME merganser-mpi)
set(CPACK_DEBIAN_MPI_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS openmpi-bin)
set(CPACK_DEBIAN_MPI_PACKAGE_SUGGESTS merganser)
set(CPACK_DEBIAN_MPI_DESCRIPTION "merge experts of one language model over the ranks of an MPI run
One merge on several nodes, started by mpirun or a batch system: the
recipes, outputs and bytes are those of the package merganser.")

set(CPACK_DEBIAN_SERVICE_PACKAGE_NAME merganser-service)
set(CPACK_DEBIAN_SERVICE_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_SERVICE_PACKAGE_DEPENDS "merganser (= ${merganser_package_version}), adduser")
set(CPACK_DEBIAN_SERVICE_DESCRIPTION "merge experts of language models as a service of systemd
Units of a coordinator, which takes merge jobs, and of a worker, which
computes them, with a user of their own. Neither is started before it was
given tokens.")
set(merganser_scripts ${CMAKE_CURRENT_LIST_DIR}/service)
set(CPACK_DEBIAN_SERVICE_PACKAGE_CONTROL_EXTRA ${merganser_scripts}/conffiles
  ${merganser_scripts}/postinst ${merganser_scripts}/prerm ${merganser_scripts}/postrm)
include(CPack)

# CPack's own target `package` builds the tests first.
set(merganser_packaged merganser merganser_pages)
if(MERGANSER_MPI)
  list(APPEND merganser_packaged merganser-mpi)
endif()
add_custom_target(packages COMMAND ${CMAKE_CPACK_COMMAND} --config ${CMAKE_BINARY_DIR}/CPackConfig.cmake
  DEPENDS ${merganser_packaged} COMMENT "Debian packages" VERBATIM)
