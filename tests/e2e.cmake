pawl_program(slow_pawl SOURCES ${CMAKE_CURRENT_LIST_DIR}/e2e/slow_pawl.c)
foreach(name ranks zero stop saves commands plan bad data kill gguf lora finetune)
  pawl_script(e2e_${name} 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/${name}.py)
endforeach()

# The long campaigns: launch/test --full.
pawl_script(e2e_campaign 3600 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/campaign.py)
pawl_script(e2e_kill_again 900 ${CMAKE_COMMAND} -E env PAWL_KILL_SEED=21 ${PAWL_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e/kill.py)
set_tests_properties(e2e_campaign e2e_kill_again PROPERTIES LABELS long)
