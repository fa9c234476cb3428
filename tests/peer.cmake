# The reference implementations themselves, where they are installed (PAWL_PEER_PYTHON); elsewhere these are skipped, by name.
foreach(name families exports)
  pawl_script(peer_${name} 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/peer/${name}.py)
  set_tests_properties(peer_${name} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
