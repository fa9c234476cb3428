pawl_program(slow_pawl SOURCES ${CMAKE_CURRENT_LIST_DIR}/e2e/slow_pawl.c)
foreach(name ranks stop saves commands bad kill)
  pawl_script(e2e_${name} 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/${name}.py)
endforeach()
